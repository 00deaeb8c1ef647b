//! What the unit tests of several modules need.

use std::time::Duration;

use crate::errno::Errno;
use crate::guest::{Event, Guest};
use crate::scenario::Scenario;
use crate::uv::Rc;
use crate::uv::driver::{BLOCK_LEN, CallerMemory};

#[path = "../tests/common/arcb.rs"]
pub mod arcb;
#[path = "../tests/common/host.rs"]
mod host;
#[path = "../tests/common/request.rs"]
pub mod request;
pub use host::{Host, reference_image};
pub use request as build;

/// A guest under test with a clock that the test turns.
pub struct Bench {
    pub guest: Guest,
    pub host: Host,
    pub now: Duration,
}

impl Bench {
    /// A guest of the reference image with these lines of a scenario.
    pub fn new(scenario: &str) -> Self {
        let host = Host::new();
        let scenario = Scenario::from_yaml(&format!("host_key: none\nimage: none\n{scenario}")).unwrap();
        let guest = Guest::new(scenario, host.key(), reference_image("")).unwrap();
        Self { guest, host, now: Duration::ZERO }
    }

    /// Lets time go by.
    pub fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Reads an attribute below `/sys`, without its last newline.
    pub fn read(&mut self, path: &str) -> Result<String, Errno> {
        let text = String::from_utf8(self.guest.read(7, &format!("/sys/{path}"), self.now).result?).unwrap();
        Ok(text.strip_suffix('\n').unwrap().to_owned())
    }

    /// Writes an attribute below `/sys`.
    pub fn write(&mut self, path: &str, text: &str) -> Result<(), Errno> {
        self.guest.write(7, &format!("/sys/{path}"), text.as_bytes(), self.now).result
    }

    /// Adds an association secret with that id.
    pub fn add(&mut self, id: u8) -> Rc {
        let request = build::Parts { id: [id; 32], ..build::Parts::default() }.build(&self.host.public);
        self.ioctl(2, request).unwrap().0
    }

    /// An ioctl with `buffer` as its argument; gives the answer and the buffer afterwards.
    pub fn ioctl(&mut self, number: u32, buffer: Vec<u8>) -> Result<(Rc, Vec<u8>), Errno> {
        let mut block = [0; BLOCK_LEN];
        if !buffer.is_empty() {
            block[8..16].copy_from_slice(&0x1000_u64.to_ne_bytes());
            block[16..20].copy_from_slice(&u32::try_from(buffer.len()).unwrap().to_ne_bytes());
        }
        let memory = Memory(buffer.into());
        self.guest.ioctl(7, 0xc040_7500 | number, &mut block, &memory, self.now).result?;
        Ok((Rc(u16::from_ne_bytes([block[4], block[5]])), memory.0.into_inner()))
    }

    /// The last thing that was logged.
    pub fn last_event(&mut self) -> Event {
        self.guest.take_events().pop().unwrap()
    }
}

/// A buffer at address 0x1000.
pub struct Memory(pub std::cell::RefCell<Vec<u8>>);

impl CallerMemory for Memory {
    fn read(&self, address: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let start = usize::try_from(address.checked_sub(0x1000).ok_or(Errno::EFAULT)?).unwrap();
        self.0.borrow().get(start..start + len).map(<[u8]>::to_vec).ok_or(Errno::EFAULT)
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let start = usize::try_from(address.checked_sub(0x1000).ok_or(Errno::EFAULT)?).unwrap();
        self.0.borrow_mut().get_mut(start..start + bytes.len()).ok_or(Errno::EFAULT)?.copy_from_slice(bytes);
        Ok(())
    }
}
