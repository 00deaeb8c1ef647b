//! Things that go wrong in the machine on purpose. Which occurrence is hit is decided by whoever owns the scenario.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What becomes of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Becomes {
    /// Checkstopped.
    Checkstopped,
    /// Deconfigured.
    Deconfigured,
    /// Gone from the guest.
    Lost,
    /// Gone from the guest, and back after the time of a reset: another device for the kernel, bound to nobody.
    Recreated,
    /// Switched off in the kernel.
    Offline,
    /// Unbound by somebody else.
    Unbound,
}

/// How a measurement is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoil {
    /// One bit of it is wrong.
    Measurement,
    /// The additional data are other bytes than were measured.
    GarbledAdditional,
    /// Half of the additional data is missing from what is given and measured.
    ShortAdditional,
    /// The CUID is another than was measured.
    Cuid,
    /// The CUID is another than that of this start, and is what was measured: another guest of the same image answers.
    OtherCuid,
    /// Success is told, and everything is zeros.
    Nothing,
}

/// What goes wrong when the firmware of a queue is asked to bind, to associate or to reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// It answers this response code. 0x35 and 0x36 come when the association should be through.
    pub rc: Option<u8>,
    /// It accepts and never gets done.
    pub stuck: bool,
    /// What becomes of the queue when it is done.
    pub becomes: Option<Becomes>,
}

/// What goes wrong with a call to the ultravisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTrouble {
    /// It answers this return code.
    pub rc: Option<u16>,
    /// That is answered after the call took effect, instead of it.
    pub done: bool,
    /// A measurement is spoiled like this.
    pub spoil: Option<Spoil>,
    /// It is busy for so long first.
    pub takes: Duration,
}

/// What the machine is asked, as far as a fault can wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The attest call.
    Attest,
    /// The add-secret call.
    Add,
    /// The list call.
    List,
    /// The lock call.
    Lock,
    /// The retrieve call.
    Retrieve,
    /// A queue is to be bound.
    Bind,
    /// A queue is to be associated.
    Associate,
    /// A queue is to be reset, or unbound.
    Reset,
}

impl Asked {
    /// The name as in scenario files and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attest => "attest",
            Self::Add => "add_secret",
            Self::List => "list_secrets",
            Self::Lock => "lock_secrets",
            Self::Retrieve => "retrieve_secret",
            Self::Bind => "bind",
            Self::Associate => "associate",
            Self::Reset => "reset",
        }
    }
}

/// Whoever knows what is to go wrong. Each question counts as an occurrence.
pub trait Faults {
    /// The ultravisor was called.
    fn of_call(&mut self, asked: Asked) -> Option<CallTrouble>;
    /// The firmware of a queue, `XX.YYYY`, was asked.
    fn of_queue(&mut self, asked: Asked, apqn: &str) -> Option<Trouble>;
}
