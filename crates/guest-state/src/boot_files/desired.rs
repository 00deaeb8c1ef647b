//! What is to be at which path.

use super::{ARGUMENTS, LINK, PROGRAM, UNIT, unit};

/// What the guest is to run at each boot.
#[derive(Clone, Debug)]
pub enum Desired {
    /// This.
    Installed(Installed),
    /// Nothing.
    Removed,
}

/// What is needed for the boot.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The program.
    pub program: Vec<u8>,
    /// What it is told, as a module's arguments; `None` in check mode, where a request is not built yet.
    pub arguments: Option<Vec<u8>>,
    /// Units that wait for it.
    pub before: Vec<String>,
}

/// What is to be at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A regular file of root's, with mode and content.
    File(u32, Vec<u8>),
    /// A file of that mode, of which the content is not known yet.
    Unknown(u32),
    /// A symbolic link to that.
    Link(&'static str),
    /// Nothing.
    Nothing,
}

impl Desired {
    /// What is to be at each path, what starts the others last.
    pub fn paths(&self) -> [(&'static str, Wanted); 4] {
        let wanted = match self {
            Self::Removed => [Wanted::Nothing, Wanted::Nothing, Wanted::Nothing, Wanted::Nothing],
            Self::Installed(Installed { program, arguments, before }) => [
                Wanted::File(0o700, program.clone()),
                // A request is no secret, but nobody else needs it.
                arguments.clone().map_or(Wanted::Unknown(0o600), |text| Wanted::File(0o600, text)),
                // As systemd wants it: all may read it, and there is nothing in it to hide.
                Wanted::File(0o644, unit::text(before).into_bytes()),
                Wanted::Link("../seguest-pv.service"),
            ],
        };
        let [program, arguments, unit, link] = wanted;
        [(PROGRAM, program), (ARGUMENTS, arguments), (UNIT, unit), (LINK, link)]
    }
}
