//! The guest's files by path: which exist, of what kind and mode, what a folder holds.

use crate::ap::{Bus, attributes};
use crate::scenario::Scenario;
use crate::uv::query;

/// A path that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Dir,
    /// A file: what it is, and its mode.
    File(File, u16),
    /// A symbolic link and where it points.
    Link(String),
}

/// What a file stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// `/dev/uv`.
    Device,
    /// `/proc/sys/kernel/random/boot_id`, here at `/boot_id`.
    BootId,
    /// A file of `/sys/firmware/uv`.
    UvFlag(&'static str),
    /// A file of `/sys/firmware/uv/query`.
    UvQuery(&'static str),
    /// A file of `/sys/firmware/uv/keys`.
    UvKey(&'static str),
    /// A file of `/sys/bus/ap`.
    Bus(&'static str),
    /// An attribute of a card.
    Card(u8, &'static str),
    /// An attribute of a queue.
    Queue(u8, u8, &'static str),
}

/// The guest's files, seen through what the scenario leaves out.
#[derive(Debug)]
pub struct Tree<'a> {
    /// Names the absent paths.
    pub scenario: &'a Scenario,
    /// Knows cards and queues.
    pub bus: &'a Bus,
}

impl Tree<'_> {
    /// What is at `path`, which starts with `/` and has no `/` at its end (but the root).
    pub fn node(&self, path: &str) -> Option<Node> {
        let absent = |gone: &String| {
            path.strip_prefix(gone.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.scenario.absent.iter().any(absent) {
            return None;
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            [] | ["dev"] => Some(Node::Dir),
            ["dev", "uv"] => self.scenario.ultravisor.guest.then_some(Node::File(File::Device, 0o600)),
            ["boot_id"] => Some(Node::File(File::BootId, 0o444)),
            ["sys", rest @ ..] => self.sys(rest),
            _ => None,
        }
    }

    fn sys(&self, parts: &[&str]) -> Option<Node> {
        match parts {
            [] | ["firmware" | "bus" | "devices"] | ["firmware", "uv"] | ["bus", "ap"] | ["bus", "ap", "devices"] => {
                Some(Node::Dir)
            }
            ["firmware", "uv", "query"] | ["devices", "ap"] => Some(Node::Dir),
            ["firmware", "uv", "keys"] => self.scenario.ultravisor.keys.then_some(Node::Dir),
            ["firmware", "uv", name] => Some(Node::File(File::UvFlag(same(&query::FLAGS, name)?), 0o444)),
            ["firmware", "uv", "query", name] => Some(Node::File(File::UvQuery(same(&query::QUERY, name)?), 0o444)),
            ["firmware", "uv", "keys", name] if self.scenario.ultravisor.keys => {
                Some(Node::File(File::UvKey(same(&query::KEYS, name)?), 0o444))
            }
            ["bus", "ap", name] => {
                with_mode(&attributes::BUS, name).map(|(name, mode)| Node::File(File::Bus(name), mode))
            }
            ["bus", "ap", "devices", name] => {
                let target = match (card_number(name), apqn(name)) {
                    (Some(card), _) => self.bus.card(card).map(|_| format!("../../../devices/ap/{name}")),
                    (_, Some((card, domain))) => {
                        self.bus.queue(card, domain).map(|_| format!("../../../devices/ap/card{card:02x}/{name}"))
                    }
                    _ => None,
                };
                target.map(Node::Link)
            }
            ["devices", "ap", card, rest @ ..] => self.card(card_number(card)?, rest),
            _ => None,
        }
    }

    fn card(&self, number: u8, parts: &[&str]) -> Option<Node> {
        let card = self.bus.card(number)?;
        match parts {
            [] => Some(Node::Dir),
            [name] => match with_mode(&card.attributes(), name) {
                Some((name, mode)) => Some(Node::File(File::Card(number, name), mode)),
                None => {
                    let (card, domain) = apqn(name).filter(|&(card, _)| card == number)?;
                    self.bus.queue(card, domain).map(|_| Node::Dir)
                }
            },
            [queue, name] => {
                let (_, domain) = apqn(queue).filter(|&(card, _)| card == number)?;
                self.bus.queue(number, domain)?;
                let (name, mode) = with_mode(&card.queue_attributes(self.bus.secure()), name)?;
                Some(Node::File(File::Queue(number, domain, name), mode))
            }
            _ => None,
        }
    }

    /// Names in the folder at `path` with what they are; empty if it is none.
    pub fn children(&self, path: &str) -> Vec<(String, Node)> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let names = match parts.as_slice() {
            [] => strings(&["boot_id", "dev", "sys"]),
            ["dev"] => strings(&["uv"]),
            ["sys"] => strings(&["bus", "devices", "firmware"]),
            ["sys", "firmware"] => strings(&["uv"]),
            ["sys", "firmware", "uv"] => strings(&["keys", "prot_virt_guest", "prot_virt_host", "query"]),
            ["sys", "firmware", "uv", "query"] => strings(&query::QUERY),
            ["sys", "firmware", "uv", "keys"] => strings(&query::KEYS),
            ["sys", "bus" | "devices"] => strings(&["ap"]),
            ["sys", "bus", "ap"] => {
                attributes::BUS.iter().map(|(name, _)| *name).chain(["devices"]).map(String::from).collect()
            }
            ["sys", "bus", "ap", "devices"] => {
                self.cards().chain(self.bus.cards().flat_map(|(number, _)| self.queues(number))).collect()
            }
            ["sys", "devices", "ap"] => self.cards().collect(),
            ["sys", "devices", "ap", card] => self.in_card(card),
            ["sys", "devices", "ap", card, _] => {
                let card = card_number(card).and_then(|number| self.bus.card(number));
                let files = card.map(|card| card.queue_attributes(self.bus.secure())).unwrap_or_default();
                files.into_iter().map(|(name, _)| name.to_owned()).collect()
            }
            _ => Vec::new(),
        };
        let parent = path.trim_end_matches('/');
        names.into_iter().filter_map(|name| self.node(&format!("{parent}/{name}")).map(|node| (name, node))).collect()
    }

    fn cards(&self) -> impl Iterator<Item = String> {
        self.bus.cards().map(|(number, _)| format!("card{number:02x}"))
    }

    fn in_card(&self, name: &str) -> Vec<String> {
        let Some((number, card)) = card_number(name).and_then(|number| Some((number, self.bus.card(number)?))) else {
            return Vec::new();
        };
        let files = card.attributes().into_iter().map(|(name, _)| name.to_owned());
        files.chain(self.queues(number)).collect()
    }

    fn queues(&self, card: u8) -> impl Iterator<Item = String> {
        self.bus.domains(card).map(move |domain| se_machine::ap::apqn(card, domain))
    }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn same(names: &[&'static str], wanted: &str) -> Option<&'static str> {
    names.iter().copied().find(|name| *name == wanted)
}

fn with_mode(names: &[(&'static str, u16)], wanted: &str) -> Option<(&'static str, u16)> {
    names.iter().copied().find(|(name, _)| *name == wanted)
}

/// The kernel writes names with lower-case digits only.
fn lower_hex(digits: &str, len: usize) -> Option<u32> {
    let good = digits.len() == len && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if good { u32::from_str_radix(digits, 16).ok() } else { None }
}

fn card_number(name: &str) -> Option<u8> {
    u8::try_from(lower_hex(name.strip_prefix("card")?, 2)?).ok()
}

fn apqn(name: &str) -> Option<(u8, u8)> {
    let (card, domain) = name.split_once('.')?;
    Some((u8::try_from(lower_hex(card, 2)?).ok()?, u8::try_from(lower_hex(domain, 4)?).ok()?))
}
