//! Instants of certificates.

use crate::crypto::refused;
use fault::Result;
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use std::cmp::Ordering;

const DAY: i64 = 86_400;

/// The time as of which everything is checked.
pub(super) struct Instant {
    pub(super) unix: i64,
    asn1: Asn1Time,
}

impl Instant {
    pub(super) fn new(unix: i64) -> Result<Self> {
        Ok(Self { unix, asn1: Asn1Time::from_unix(unix).map_err(refused("read the time"))? })
    }

    /// Whether it is earlier than `time`. A time that cannot be read is in the past.
    pub(super) fn is_before(&self, time: &Asn1TimeRef) -> bool {
        self.asn1.compare(time).is_ok_and(Ordering::is_lt)
    }
}

/// Seconds since 1970.
pub(super) fn unix(time: &Asn1TimeRef) -> Result<i64> {
    let failed = refused("read a certificate's time");
    let since = Asn1Time::from_unix(0).and_then(|epoch| epoch.diff(time)).map_err(failed)?;
    Ok(i64::from(since.days) * DAY + i64::from(since.secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asn1_times_round_trip() {
        for seconds in [0, 951_782_400, 13_000_000_000, -86_401] {
            assert_eq!(unix(&Asn1Time::from_unix(seconds).unwrap()).unwrap(), seconds);
        }
    }
}
