//! The bus and its cards.

use super::attributes::{Mode, card_type};
use super::line::Line;
use super::queue::Queue;
use crate::sysfs::{self, Folder};
use crate::{codes, firmware};
use fault::{Fault, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

const BUS: &str = "/sys/bus/ap";
const DEVICES: &str = "/sys/devices/ap";

/// A crypto adapter.
#[derive(Clone, Debug)]
pub struct Card {
    /// Its number.
    pub number: u8,
    /// Generation: 8 for a CEX8.
    pub generation: u32,
    /// What it works as.
    pub mode: Mode,
    /// Its serial number, for EP11; `None` until a queue of it is bound, for only then the card can be asked.
    pub serialnr: Option<String>,
    /// Online, configured and not checkstopped.
    pub usable: bool,
    /// By it the card is asked.
    pub line: Line,
}

/// The AP bus of a Secure Execution guest.
#[derive(Debug)]
pub struct Bus {
    /// `None` on kernels before 6.6, which do not have the file.
    features: Option<String>,
}

impl Bus {
    /// Finds the bus.
    ///
    /// # Errors
    /// [`codes::NO_AP_BUS`], [`codes::ATTRIBUTE_UNREADABLE`].
    pub fn find() -> Result<Self> {
        if !Path::new(BUS).is_dir() {
            return Err(Fault::new(codes::NO_AP_BUS, format!("The kernel shows no AP bus: {BUS} does not exist."))
                .hint(
                    "Give the guest crypto queues (vfio-ap), and load the module ap if the kernel has it as a module.",
                ));
        }
        let path = Path::new(BUS).join("features");
        Ok(Self { features: sysfs::read_optional(&path).map_err(|e| unreadable(&path, &e))? })
    }

    /// Whether queues can be bound and associated here.
    pub fn has_secure_binding(&self) -> bool {
        self.features.as_deref().unwrap_or_default().split_whitespace().any(|feature| feature == "APSB")
    }

    /// The error for who needs secure binding where there is none.
    ///
    /// # Errors
    /// [`codes::NOT_A_GUEST`], [`codes::NO_SECURE_BINDING`].
    pub fn require_secure_binding(&self) -> Result<()> {
        if firmware::role().map_err(|e| unreadable(&firmware::path("prot_virt_guest"), &e))? != firmware::Role::Guest {
            return Err(Fault::new(
                codes::NOT_A_GUEST,
                "This system is not a Secure Execution guest: /sys/firmware/uv/prot_virt_guest is not 1.",
            )
            .hint("Run this on the guest that the queues are for."));
        }
        match &self.features {
            _ if self.has_secure_binding() => Ok(()),
            Some(features) => Err(Fault::new(codes::NO_SECURE_BINDING, format!("The AP bus has no secure binding: {BUS}/features says {features:?}, without APSB."))
                .hint("It needs a crypto adapter, firmware and a host kernel that support AP pass-through to Secure Execution guests.")),
            None => Err(Fault::new(codes::NO_SECURE_BINDING, format!("The AP bus has no secure binding: there is no {BUS}/features, so the kernel does not support it."))
                .hint("Update the guest's kernel: secure binding came with Linux 6.6.")),
        }
    }

    /// Whether every queue has its driver; `None` where the kernel does not tell.
    ///
    /// # Errors
    /// [`codes::ATTRIBUTE_UNREADABLE`].
    pub fn bindings_complete(&self) -> Result<Option<bool>> {
        let path = Path::new(BUS).join("bindings");
        let text = sysfs::read_optional(&path).map_err(|e| unreadable(&path, &e))?;
        Ok(text.map(|text| text.contains("(complete)")))
    }

    /// Waits until every queue has its driver, at most `timeout`.
    ///
    /// # Errors
    /// [`codes::BINDINGS_INCOMPLETE`], [`codes::ATTRIBUTE_UNREADABLE`].
    pub fn wait_for_bindings(&self, timeout: Duration) -> Result<()> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        while self.bindings_complete()? == Some(false) {
            if started.elapsed() >= timeout {
                return Err(Fault::new(
                    codes::BINDINGS_INCOMPLETE,
                    format!(
                        "After {} s the AP bus has not given every queue its driver ({BUS}/bindings).",
                        timeout.as_secs()
                    ),
                )
                .hint("Check the kernel's messages of ap and zcrypt; raise timeout if the bus is only slow."));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The numbers of all cards, in order. No card is asked for it.
    ///
    /// # Errors
    /// [`codes::ATTRIBUTE_UNREADABLE`].
    pub fn card_numbers(&self) -> Result<Vec<u8>> {
        let number = |name: &String| {
            let digits = name.strip_prefix("card").filter(|digits| digits.len() == 2)?;
            u8::from_str_radix(digits, 16).ok()
        };
        let mut numbers: Vec<u8> = names(Path::new(DEVICES))?.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

impl Card {
    /// Reads the card of this number; `None` if there is none, or its type is not understood. It is not asked for anything:
    /// its serial number is not known yet, and an answer to what it will be asked is waited for so long.
    ///
    /// # Errors
    /// [`codes::ATTRIBUTE_UNREADABLE`].
    pub fn read(number: u8, answer: Duration) -> Result<Option<Self>> {
        let path = folder(number);
        let folder = Folder::at(&path);
        // A card that vanishes while it is read is as good as not there.
        let text = |name: &str| folder.read_optional(name).map_err(|e| unreadable(&path.join(name), &e));
        let Some((generation, mode)) = text("type")?.as_deref().and_then(card_type) else { return Ok(None) };
        let is = |name: &str, value: &str| Ok::<_, Fault>(text(name)?.is_none_or(|found| found == value));
        let usable = is("online", "1")? && is("config", "1")? && is("chkstop", "0")?;
        Ok(Some(Self { number, generation, mode, serialnr: None, usable, line: Line::new(number, answer) }))
    }

    /// Asks for the serial number, which is known from the first bound queue on. A CCA card in a Secure Execution guest
    /// may never answer, so only EP11 cards are asked.
    pub fn read_serialnr(&self) -> Option<String> {
        let attribute = || Folder::at(&folder(self.number)).open("serialnr");
        if self.mode == Mode::Ep11 { self.line.serialnr(attribute) } else { None }
    }

    /// The card's queues, by domain.
    ///
    /// # Errors
    /// [`codes::ATTRIBUTE_UNREADABLE`].
    pub fn queues(&self) -> Result<Vec<Queue>> {
        let folder = folder(self.number);
        let mut apqns: Vec<_> = names(&folder)?.iter().filter_map(|name| name.parse().ok()).collect();
        apqns.retain(|apqn: &super::Apqn| apqn.card == self.number);
        apqns.sort_unstable();
        Ok(apqns.into_iter().map(|apqn| Queue::at(folder.join(apqn.to_string()), apqn, self.mode)).collect())
    }
}

fn folder(card: u8) -> PathBuf {
    Path::new(DEVICES).join(format!("card{card:02x}"))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| unreadable(folder, &e))?,
    };
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault::new(codes::ATTRIBUTE_UNREADABLE, format!("{} cannot be read: {error}.", path.display()))
        .hint("Run the task as root (become: true); if that does not help, the kernel's log (dmesg) may say why.")
        .io(error)
}
