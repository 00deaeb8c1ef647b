//! The texts of the AP bus in sysfs, in the kernel's own formatting.

use std::time::Duration;

use se_machine::ap::{Binding, Firmware, Kind, code};

use super::{Bus, Card, Context, Queue};
use crate::errno::Errno;
use crate::scenario::Delays;

/// Files of `/sys/bus/ap` with their modes.
pub const BUS: [(&str, u16); 6] = [
    ("ap_interrupts", 0o444),
    ("ap_max_adapter_id", 0o444),
    ("ap_max_domain_id", 0o444),
    ("bindings", 0o444),
    ("config_time", 0o644),
    ("features", 0o444),
];

const COMMON: [(&str, u16); 8] = [
    ("ap_functions", 0o444),
    ("chkstop", 0o444),
    ("depth", 0o444),
    ("modalias", 0o444),
    ("online", 0o644),
    ("pendingq_count", 0o444),
    ("request_count", 0o444),
    ("requestq_count", 0o444),
];

impl Bus {
    /// Text of a file of `/sys/bus/ap`.
    pub fn bus_attribute(&self, name: &str, context: &Context<'_>) -> Result<String, Errno> {
        let queues = || self.cards().flat_map(|(card, _)| self.domains(card));
        match name {
            "features" => Ok(format!("{}\n", context.scenario.ap.features)),
            "bindings" => {
                let count = queues().count();
                let complete = self.booted + Delays::of(context.scenario.ap.bindings_complete_after_ms) <= context.now;
                Ok(if complete || count == 0 {
                    format!("{count}/{count} (complete)\n")
                } else {
                    format!("{}/{count}\n", count - 1)
                })
            }
            "config_time" => {
                Ok(format!("{}\n", Duration::from_millis(context.scenario.delays.scan_ms).as_secs().max(1)))
            }
            "ap_interrupts" => Ok("1\n".into()),
            "ap_max_adapter_id" => Ok("255\n".into()),
            "ap_max_domain_id" => Ok("255\n".into()),
            _ => Err(Errno::ENOENT),
        }
    }

    /// Text of an attribute of a card, with how long its reader waits for it.
    pub fn card_attribute(
        &mut self,
        number: u8,
        name: &str,
        context: &mut Context<'_>,
    ) -> Result<(String, Waits), Errno> {
        let Self { machine, cards, secure, asked, .. } = self;
        let card = cards.get_mut(&number).ok_or(Errno::ENODEV)?;
        card.advance(machine, number, context);
        let firmware = |domain: &u8| machine.firmware(number, *domain);
        let mut all = card.queues.keys().filter_map(firmware);
        let text = match name {
            "serialnr" | "op_modes" | "API_ordinalnr" | "FW_version" => {
                let asks_refused = context.scenario.kernel.asks_refused_queue;
                let can_answer = |domain: &u8, queue: &Queue| {
                    let is_asked = asks_refused || !queue.driver.is_refused_a_reset();
                    is_asked && firmware(domain).is_some_and(|firmware| queue.answers(firmware, context))
                };
                return Ok(card.asked(name, *secure, can_answer, asked, context));
            }
            "type" => card.spec.kind.clone(),
            "hwtype" | "raw_hwtype" => card.hwtype().to_string(),
            "online" => u8::from(card.online).to_string(),
            "config" => u8::from(all.any(|firmware| firmware.configured)).to_string(),
            "chkstop" => {
                let stopped = all.all(|firmware| firmware.checkstopped);
                u8::from(stopped && !card.queues.is_empty()).to_string()
            }
            "depth" => "8".into(),
            "modalias" => format!("ap:t{:02X}", card.hwtype()),
            "max_msg_size" => "12288".into(),
            "ap_functions" => format!("0x{:08X}", card.functions()),
            "request_count" => card.request_count.to_string(),
            "requestq_count" => {
                card.queues.values().map(|queue| queue.waiting() - queue.pendingq_count).sum::<u64>().to_string()
            }
            "pendingq_count" => card.queues.values().map(|queue| queue.pendingq_count).sum::<u64>().to_string(),
            _ => return Err(Errno::ENOENT),
        };
        Ok((text + "\n", Waits::Not))
    }

    /// Text of an attribute of a queue, with how long its reader waits for it.
    pub fn queue_attribute(
        &mut self,
        at: (u8, u8),
        name: &str,
        context: &mut Context<'_>,
    ) -> Result<(String, Waits), Errno> {
        let (kind, queue, port) = self.reach(at, context)?;
        match name {
            "se_bind" => return Ok((format!("{}\n", queue.driver.show_bind(&port)?), Waits::Not)),
            "se_associate" => return Ok((queue.driver.show_associate(kind, &port)? + "\n", Waits::Not)),
            _ => {}
        }
        let Self { machine, cards, secure, asked, .. } = self;
        let firmware = machine.firmware(at.0, at.1).ok_or(Errno::ENODEV)?;
        let card = cards.get_mut(&at.0).ok_or(Errno::ENODEV)?;
        let (functions, hwtype, card_online) = (card.functions(), card.hwtype(), card.online);
        let card_answers = card.spec.answers;
        let queue = card.queues.get_mut(&at.1).ok_or(Errno::ENODEV)?;
        let mut waits = Waits::Not;
        let text = match name {
            "mkvps" | "op_modes" => {
                // A queue whose reset was refused gets no requests.
                let is_asked = card_online && queue.answers(firmware, context) && !queue.driver.is_refused_a_reset();
                if is_asked {
                    card.request_count += 1;
                    waits = queue.ask(card_answers, asked, context);
                }
                if kind == Kind::Cca && *secure {
                    waits = Waits::of_cca(context);
                }
                let answers = is_asked && !matches!(waits, Waits::Unanswered { .. });
                match (name, answers) {
                    ("mkvps", _) => queue.mkvps(kind, answers),
                    (_, true) => "FIPS2009 BSI2009".into(),
                    (_, false) => String::new(),
                }
            }
            "ap_functions" => {
                let (rc, binding) = firmware.test(&context.scenario.switches);
                if rc > code::BUSY {
                    return Err(Errno::EIO);
                }
                let binding = if *secure { (binding as u32) << 14 } else { 0 };
                format!("0x{:08X}", functions | binding)
            }
            "online" => u8::from(queue.online && card_online).to_string(),
            "config" => u8::from(firmware.configured).to_string(),
            "chkstop" => u8::from(firmware.checkstopped).to_string(),
            "depth" => "8".into(),
            "modalias" => format!("ap:t{hwtype:02X}"),
            "interrupt" => "Interrupts enabled.".into(),
            "reset" => queue.driver.show_reset().into(),
            "request_count" => queue.request_count.to_string(),
            "requestq_count" => (queue.requestq_count + queue.unanswered.len() as u64).to_string(),
            "pendingq_count" => queue.pendingq_count.to_string(),
            _ => return Err(Errno::ENOENT),
        };
        Ok((text + "\n", waits))
    }
}

impl Card {
    /// Files of the card with their modes.
    pub fn attributes(&self) -> Vec<(&'static str, u16)> {
        let mut names = COMMON.to_vec();
        names.extend([("config", 0o644), ("hwtype", 0o444), ("max_msg_size", 0o444), ("raw_hwtype", 0o444)]);
        names.push(("type", 0o444));
        match self.kind {
            Kind::Accelerator => {}
            Kind::Cca => names.push(("serialnr", 0o444)),
            Kind::Ep11 => {
                names.extend(["API_ordinalnr", "FW_version", "op_modes", "serialnr"].map(|name| (name, 0o444)));
            }
        }
        names
    }

    /// Files of each of the card's queues with their modes.
    pub fn queue_attributes(&self, secure: bool) -> Vec<(&'static str, u16)> {
        let mut names = COMMON.to_vec();
        names.extend([("config", 0o444), ("interrupt", 0o444), ("reset", 0o644)]);
        if secure && self.kind != Kind::Cca {
            names.extend([("se_bind", 0o644), ("se_associate", 0o644)]);
        }
        match self.kind {
            Kind::Accelerator => {}
            Kind::Cca => names.push(("mkvps", 0o444)),
            Kind::Ep11 => names.extend([("mkvps", 0o444), ("op_modes", 0o444)]),
        }
        names
    }

    /// The card's type as in its attribute.
    pub fn kind_text(&self) -> &str {
        &self.spec.kind
    }

    /// The card's serial number, whether the guest can read it or not.
    pub fn serialnr(&self) -> &str {
        &self.spec.serialnr
    }

    fn hwtype(&self) -> u8 {
        self.spec.hwtype()
    }

    fn functions(&self) -> u32 {
        self.kind.functions()
    }

    /// What the driver has to ask the card for. A card answers only through a queue that is bound; otherwise the text
    /// is an empty line. The driver takes the queue with the fewest requests in it, then with the fewest so far.
    fn asked(
        &mut self,
        name: &str,
        secure: bool,
        can_answer: impl Fn(&u8, &Queue) -> bool,
        asked: &mut u64,
        context: &Context<'_>,
    ) -> (String, Waits) {
        let online = self.online;
        let candidates = self.queues.iter_mut().filter(|(domain, queue)| online && can_answer(domain, queue));
        let mut waits = Waits::Not;
        let mut answers = false;
        if let Some((_, queue)) = candidates.min_by_key(|(_, queue)| (queue.waiting(), queue.request_count)) {
            self.request_count += 1;
            waits = queue.ask(self.spec.answers, asked, context);
            answers = !matches!(waits, Waits::Unanswered { .. });
            if answers && name == "serialnr" {
                self.lingers = context.scenario.kernel.serialnr_lingers;
            }
        } else if name == "serialnr" && self.lingers > 0 {
            self.lingers -= 1;
            answers = true;
        }
        let text = match name {
            _ if !answers => "",
            "serialnr" => &self.spec.serialnr,
            "op_modes" => "FIPS2009 BSI2009",
            "API_ordinalnr" => "6",
            _ => "8.1",
        };
        if self.kind == Kind::Cca && secure {
            waits = Waits::of_cca(context);
        }
        (format!("{text}\n"), waits)
    }
}

/// How long the reader of an attribute waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Not at all.
    Not,
    /// So long.
    For(Duration),
    /// So long, for an answer that does not come: the request of this number waits in a queue. A signal to the reader
    /// ends it, and so does a reset of the queue (Linux drivers/s390/crypto/zcrypt_msgtype6.c).
    Unanswered {
        /// Number of the request.
        request: u64,
        /// When the driver gives it up.
        limit: Duration,
    },
}

impl Waits {
    fn of_cca(context: &Context<'_>) -> Self {
        Self::For(Delays::of(context.scenario.delays.cca_read_ms))
    }
}

impl Queue {
    /// Whether requests to the queue are answered: bound, alive, switched on.
    fn answers(&self, firmware: &Firmware, context: &Context<'_>) -> bool {
        let (rc, binding) = firmware.test(&context.scenario.switches);
        let bound = matches!(binding, Binding::Usable | Binding::WithoutKeys);
        self.exists(firmware) && self.online && rc == code::NORMAL && bound
    }

    /// Sends a request to the queue, that it `answers` unless its card does not, or an association is under way: then the
    /// driver sends none.
    fn ask(&mut self, card_answers: bool, asked: &mut u64, context: &Context<'_>) -> Waits {
        self.request_count += 1;
        if card_answers && !self.driver.is_associating() {
            return Waits::Not;
        }
        *asked += 1;
        self.unanswered.insert(*asked);
        Waits::Unanswered { request: *asked, limit: Delays::of(context.scenario.delays.unanswered_ms) }
    }

    fn mkvps(&self, kind: Kind, answers: bool) -> String {
        if kind == Kind::Cca {
            let key = |valid: bool| match &self.spec.mkvp {
                Some(mkvp) if valid => format!("valid 0x{}", bare(mkvp)),
                _ => "- -".into(),
            };
            return format!("AES NEW: - -\nAES CUR: {}\nAPKA CUR: {}", key(answers), key(answers));
        }
        if !answers {
            return "WK CUR: - -\nWK NEW: - -".into();
        }
        let current = match &self.spec.mkvp {
            Some(mkvp) => format!("valid 0x{:0<64}", bare(mkvp)),
            None => "invalid -".into(),
        };
        format!("WK CUR: {current}\nWK NEW: {}", self.spec.new_key)
    }

    /// The master key verification pattern, whether the guest can read it or not.
    pub fn mkvp(&self) -> Option<&str> {
        self.spec.mkvp.as_deref()
    }

    /// Requests that wait for being sent or answered.
    pub fn waiting(&self) -> u64 {
        self.requestq_count + self.pendingq_count + self.unanswered.len() as u64
    }

    /// Switched on in the kernel.
    pub fn online(&self) -> bool {
        self.online
    }
}

fn bare(digits: &str) -> &str {
    digits.strip_prefix("0x").unwrap_or(digits)
}
