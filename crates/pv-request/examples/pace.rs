//! How many requests OpenSSL's P-521 allows: key pairs made and agreements on a key with all cores busy, for each
//! second and core, and for each second of processor time. `cargo xtask bench request` compares the module with it.

#![allow(clippy::unwrap_used, reason = "a measurement ends with its first error")]

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike as _},
};
use openssl::{
    derive::Deriver,
    ec::{EcGroup, EcKey},
    nid::Nid,
    pkey::{PKey, Private},
};
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(2);

fn new_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::SECP521R1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// How often in [`TIME`].
fn count() -> u32 {
    let host = new_key();
    let host = PKey::public_key_from_der(&host.public_key_to_der().unwrap()).unwrap();
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < TIME {
        let ours = new_key();
        let mut deriver = Deriver::new(&ours).unwrap();
        // As the module does it: the host's point was checked once.
        deriver.set_peer_ex(&host, false).unwrap();
        assert_eq!(deriver.derive_to_vec().unwrap().len(), 66);
        count += 1;
    }
    count
}

fn main() {
    let cores: usize = std::env::args().nth(1).map_or(1, |cores| cores.parse().unwrap());
    let started = Instant::now();
    let threads: Vec<_> = (0..cores).map(|_| std::thread::spawn(count)).collect();
    let total: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let elapsed = started.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    let cpu = seconds(used.user_time()) + seconds(used.system_time());
    println!("{} {}", f64::from(total) / elapsed / cores as f64, f64::from(total) / cpu);
}
