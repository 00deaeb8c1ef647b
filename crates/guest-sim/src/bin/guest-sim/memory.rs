//! The memory of the program that calls ioctl(2), which FUSE does not hand over: only the control block comes along.

use std::io::{IoSlice, IoSliceMut};

use guest_sim::errno::Errno;
use guest_sim::uv::driver::CallerMemory;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

/// The memory of a process or thread.
pub struct ProcessMemory(pub Pid);

impl CallerMemory for ProcessMemory {
    fn read(&self, address: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; len];
        let remote = RemoteIoVec { base: base(address)?, len };
        match process_vm_readv(self.0, &mut [IoSliceMut::new(&mut bytes)], &[remote]) {
            Ok(read) if read == len => Ok(bytes),
            _ => Err(Errno::EFAULT),
        }
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        let remote = RemoteIoVec { base: base(address)?, len: bytes.len() };
        match process_vm_writev(self.0, &[IoSlice::new(bytes)], &[remote]) {
            Ok(written) if written == bytes.len() => Ok(()),
            _ => Err(Errno::EFAULT),
        }
    }
}

fn base(address: u64) -> Result<usize, Errno> {
    usize::try_from(address).map_err(|_| Errno::EFAULT)
}
