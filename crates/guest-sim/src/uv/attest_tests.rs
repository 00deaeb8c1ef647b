//! Attestation: what the driver and the ultravisor check, and what they answer, with requests put together byte by byte.

use crate::errno::Errno;
use crate::hex;
use crate::scenario::AttestCheck;
use crate::testing::arcb::{Arcb, store_hash};
use crate::testing::build::Parts;
use crate::testing::{Bench, Host, Memory};
use crate::uv::Rc;
use crate::uv::driver::{BLOCK_LEN, CallerMemory};

/// Where the test's own memory has what.
const ARGUMENT: u64 = 0x1000;
const REQUEST: u64 = 0x2000;
const MEASUREMENT: u64 = 0x1_0000;
const ADDITIONAL: u64 = 0x2_0000;

/// The argument of a call, as the kernel's header has it.
struct Call {
    request: Vec<u8>,
    user: Vec<u8>,
    user_len: u16,
    measurement_len: u32,
    additional_len: u32,
    reserved: u16,
    addresses: [u64; 3],
    argument_len: u32,
}

/// What is in the caller's memory afterwards.
struct Answer {
    rc: Rc,
    measurement: Vec<u8>,
    additional: Vec<u8>,
    additional_len: u32,
    cuid: Vec<u8>,
}

impl Call {
    fn new(request: Vec<u8>, additional_len: u32) -> Self {
        Self {
            request,
            user: Vec::new(),
            user_len: 0,
            measurement_len: 64,
            additional_len,
            reserved: 0,
            addresses: [REQUEST, MEASUREMENT, ADDITIONAL],
            argument_len: 0x138,
        }
    }

    fn with_user_data(mut self, data: &[u8]) -> Self {
        (self.user, self.user_len) = (data.to_vec(), data.len() as u16);
        self
    }

    /// Asks; every buffer is full of 0xaa before.
    fn ask(&self, bench: &mut Bench) -> Result<Answer, Errno> {
        let memory = Memory(vec![0xaa; 0x3_0000].into());
        let mut argument: Vec<u8> = self.addresses.iter().flat_map(|address| address.to_ne_bytes()).collect();
        argument.extend(&self.user);
        argument.resize(0x118, 0);
        argument.extend([0xaa; 16]);
        for length in [self.request.len() as u32, self.measurement_len, self.additional_len] {
            argument.extend(length.to_ne_bytes());
        }
        argument.extend(self.user_len.to_ne_bytes());
        argument.extend(self.reserved.to_ne_bytes());
        assert_eq!(argument.len(), 0x138);
        memory.write(ARGUMENT, &argument).unwrap();
        memory.write(REQUEST, &self.request).unwrap();
        let mut block = [0; BLOCK_LEN];
        block[8..16].copy_from_slice(&ARGUMENT.to_ne_bytes());
        block[16..20].copy_from_slice(&self.argument_len.to_ne_bytes());
        bench.guest.ioctl(7, 0xc040_7501, &mut block, &memory, bench.now).result?;
        let at = |address: u64, len: u32| memory.read(address, len as usize).unwrap();
        let word = at(ARGUMENT + 0x130, 4);
        Ok(Answer {
            rc: Rc(u16::from_ne_bytes([block[4], block[5]])),
            measurement: at(MEASUREMENT, self.measurement_len),
            additional: at(ADDITIONAL, self.additional_len),
            additional_len: u32::from_ne_bytes(word.try_into().unwrap()),
            cuid: at(ARGUMENT + 0x118, 16),
        })
    }
}

fn cuid(bench: &mut Bench) -> Vec<u8> {
    let state = bench.guest.state(bench.now);
    hex::decode::<16>(state["cuid"].as_str().unwrap()).unwrap().to_vec()
}

fn lock(bench: &mut Bench) {
    assert_eq!(bench.ioctl(4, Vec::new()).unwrap().0, Rc::SUCCESS);
}

#[test]
fn everything_is_measured_that_the_flags_ask_for() {
    let mut bench = Bench::new("");
    let arcb = Arcb::flags(0x7c);
    let request = Parts::default().build(&bench.host.public);
    assert_eq!(bench.ioctl(2, request.clone()).unwrap().0, Rc::SUCCESS);
    let answer = Call::new(arcb.build(&bench.host.public), 448).with_user_data(b"hello").ask(&mut bench).unwrap();
    assert_eq!((answer.rc, answer.additional_len), (Rc::SUCCESS, 448));
    let host = bench.host.key().hash();
    let firmware: Vec<u8> = (0..=255).chain([0x5a; 64]).collect();
    let expected = [host.as_slice(), &host, &store_hash(&[&request], false), &firmware].concat();
    assert_eq!(answer.additional, expected);
    assert_eq!(answer.cuid, cuid(&mut bench));
    assert_eq!(answer.measurement, arcb.measured(&answer.cuid, b"hello", &expected));
}

#[test]
fn without_flags_nothing_is_added_and_without_flag_1_there_is_no_nonce() {
    let mut bench = Bench::new("");
    for flags in [0x40, 0] {
        let arcb = Arcb::flags(flags);
        let answer = Call::new(arcb.build(&bench.host.public), 0).ask(&mut bench);
        // A flag that the ultravisor always wants is none of its documented rules.
        let answer = answer.unwrap();
        assert_eq!(answer.rc, Rc::SUCCESS);
        assert_eq!(answer.measurement, arcb.measured(&answer.cuid, b"", b""));
    }
}

#[test]
fn the_hash_of_the_store_follows_the_order_of_adding_and_the_lock() {
    let mut bench = Bench::new("");
    let build = |bench: &Bench, id: u8| Parts { id: [id; 32], ..Parts::default() }.build(&bench.host.public);
    let hash = |bench: &mut Bench| {
        let request = Arcb::flags(0x48).build(&bench.host.public);
        Call::new(request, 64).ask(bench).unwrap().additional
    };
    let (first, second) = (build(&bench, 1), build(&bench, 2));
    let meta = Parts { secret_type: 1, secret: Vec::new(), ..Parts::default() }.build(&bench.host.public);
    let refused = Parts { flags: 1, ..Parts::default() }.build(&bench.host.public);
    assert_eq!(hash(&mut bench), store_hash(&[], false));
    for request in [&second, &first, &refused, &meta, &first] {
        bench.ioctl(2, request.clone()).unwrap();
    }
    let added: [&[u8]; 4] = [&second, &first, &meta, &first];
    assert_eq!(hash(&mut bench), store_hash(&added, false));
    lock(&mut bench);
    bench.ioctl(2, second.clone()).unwrap();
    assert_eq!(hash(&mut bench), store_hash(&added, true));
    bench.guest.reboot(bench.now).unwrap();
    assert_eq!(hash(&mut bench), store_hash(&[], false));
}

#[test]
fn the_cuid_is_another_at_each_start_unless_the_scenario_gives_it() {
    let of = |bench: &mut Bench| {
        let request = Arcb::flags(0x40).build(&bench.host.public);
        Call::new(request, 0).ask(bench).unwrap().cuid
    };
    let mut bench = Bench::new("");
    let first = of(&mut bench);
    assert_eq!(of(&mut bench), first);
    bench.guest.reboot(bench.now).unwrap();
    assert_ne!(of(&mut bench), first);
    let mut fixed = Bench::new(&format!("ultravisor: {{cuid: \"{}\"}}", "42".repeat(16)));
    assert_eq!(of(&mut fixed), [0x42; 16]);
}

#[test]
fn image_host_key_and_firmware_state_are_the_scenarios() {
    let scenario = format!(
        "ultravisor: {{image_host_key_hash: \"{}\", firmware_state: \"{}\"}}",
        "3c".repeat(32),
        "f1".repeat(320)
    );
    let mut bench = Bench::new(&scenario);
    let request = Arcb::flags(0x74).build(&bench.host.public);
    let answer = Call::new(request, 32 + 32 + 320).ask(&mut bench).unwrap();
    let expected = [[0x3c; 32].as_slice(), &bench.host.key().hash(), &[0xf1; 320]].concat();
    assert_eq!(answer.additional, expected);
}

#[test]
fn each_wrong_thing_about_an_attestation_has_its_return_code() {
    let mut bench = Bench::new("ultravisor: {attestation_flags: 0x7800000000000000}");
    let (ours, other) = (bench.host.public, Host::new().public);
    let changed = |at: usize| {
        let mut request = Arcb::default().build(&ours);
        request[at] ^= 1;
        request
    };
    let of = |arcb: Arcb| Call::new(arcb.build(&ours), 64);
    let base = Arcb::default;
    let mut long_user_data = of(base()).with_user_data(&[7; 256]);
    long_user_data.user_len = 257;
    let cases = [
        (long_user_data, 0x0102),
        (of(Arcb { version: 0x200, ..base() }), 0x0106),
        (of(Arcb { magic: *b"asrcbM\0\0", ..base() }), 0x0106),
        (of(Arcb { longer: 1, ..base() }), 0x0107),
        (of(Arcb { longer: u32::MAX - 1000, ..base() }), 0x0107),
        (Call::new(base().build(&ours)[..399].to_vec(), 64), 0x0107),
        (of(Arcb { slots: 0, ..base() }), 0x0108),
        (of(Arcb { more_encrypted: 16, ..base() }), 0x0109),
        (of(Arcb { more_encrypted: u32::MAX - 100, ..base() }), 0x0109),
        (of(Arcb::flags(0x44)), 0x010a),
        (of(Arcb::flags(0xc0)), 0x010a),
        (of(Arcb::flags(0x42)), 0x010a),
        (of(Arcb { algorithm: 2, ..base() }), 0x010b),
        (Call::new(base().build(&other), 64), 0x010c),
        (Call::new(changed(0x10), 64), 0x010c),
        (Call::new(changed(0x41), 64), 0x010c),
        (Call::new(changed(0x3c), 64), 0x010c),
        (Call::new(changed(0xe0 + 40), 64), 0x010c),
        (Call::new(changed(399), 64), 0x010c),
        (Call { measurement_len: 63, ..of(base()) }, 0x010d),
        (Call { additional_len: 63, ..of(base()) }, 0x010e),
        (Call { additional_len: 0, ..of(base()) }, 0x010e),
    ];
    for (number, (call, rc)) in cases.into_iter().enumerate() {
        let answer = call.ask(&mut bench).unwrap();
        assert_eq!(answer.rc, Rc(rc), "case {number}");
        assert!(answer.measurement.iter().chain(&answer.additional).all(|&byte| byte == 0), "case {number}");
        assert_ne!(answer.cuid, cuid(&mut bench), "case {number}");
    }
}

#[test]
fn several_slots_are_taken_and_the_order_of_checks_is_a_switch() {
    let mut bench = Bench::new("");
    let request = Arcb { slots: 7, ..Arcb::default() }.build(&bench.host.public);
    assert_eq!(Call::new(request, 64).ask(&mut bench).unwrap().rc, Rc::SUCCESS);
    let wrong = Arcb { version: 0x200, algorithm: 2, ..Arcb::default() }.build(&Host::new().public);
    let first = |order: &str| {
        let mut bench = Bench::new(&format!("switches: {{attest_order: [{order}]}}"));
        Call::new(wrong.clone(), 63).ask(&mut bench).unwrap().rc
    };
    assert_eq!(first(""), Rc::ATTEST_VERSION);
    assert_eq!(first("algorithm"), Rc::ATTEST_ALGORITHM);
    assert_eq!(first("decryption"), Rc::ATTEST_UNDECRYPTABLE);
    assert_eq!(first("additional_room, version"), Rc::ATTEST_ADDITIONAL_ROOM);
    assert_eq!(serde_yaml::to_string(&AttestCheck::EncryptedSize).unwrap().trim(), "encrypted_size");
}

#[test]
fn the_driver_checks_the_lengths_and_gives_its_own_additional_length_back() {
    let mut bench = Bench::new("");
    let request = Arcb::default().build(&bench.host.public);
    let ok = || Call::new(request.clone(), 64);
    for (number, call) in [
        Call { argument_len: 0x137, ..ok() },
        Call { argument_len: 0x139, ..ok() },
        Call { request: Vec::new(), ..ok() },
        Call { measurement_len: 0, ..ok() },
        Call { measurement_len: 0x8001, ..ok() },
        Call { additional_len: 0x8001, ..ok() },
        Call { reserved: 1, ..ok() },
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(call.ask(&mut bench).err(), Some(Errno::EINVAL), "case {number}");
    }
    for at in 0..3 {
        let mut call = ok();
        call.addresses[at] = 0;
        assert_eq!(call.ask(&mut bench).err(), Some(Errno::EFAULT), "address {at}");
    }
    let answer = Call { additional_len: 1000, measurement_len: 65, ..ok() }.ask(&mut bench).unwrap();
    assert_eq!((answer.rc, answer.additional_len), (Rc::SUCCESS, 1000));
    assert!(answer.additional[64..].iter().all(|&byte| byte == 0));
    assert_eq!(answer.measurement[64], 0);
    assert_eq!(answer.measurement[..64], Arcb::default().measured(&answer.cuid, b"", &answer.additional[..64]));
}

#[test]
fn an_ultravisor_without_attestation_says_so_everywhere() {
    let mut bench = Bench::new("ultravisor: {attestation: false}");
    let answer = Call::new(Arcb::default().build(&bench.host.public), 64).ask(&mut bench).unwrap();
    assert_eq!((answer.rc, answer.cuid.as_slice()), (Rc::INVALID_COMMAND, [0; 16].as_slice()));
    assert_eq!(bench.read("firmware/uv/query/facilities").unwrap(), "ffdffff7e0000000\n0\n0\n0");
    for name in ["supp_att_pflags", "supp_att_req_hdr_ver"] {
        assert_eq!(bench.read(&format!("firmware/uv/query/{name}")).unwrap(), "0");
    }
}

#[test]
fn a_driver_that_only_attests_knows_no_other_call() {
    let mut bench = Bench::new("kernel: {only_attests: true}");
    assert_eq!(bench.ioctl(0, vec![0; 16]), Err(Errno::ENOTTY));
    assert_eq!(bench.ioctl(4, Vec::new()), Err(Errno::ENOTTY));
    let answer = Call::new(Arcb::default().build(&bench.host.public), 64).ask(&mut bench).unwrap();
    assert_eq!(answer.rc, Rc::SUCCESS);
}

#[test]
fn a_spoiled_answer_is_not_what_was_measured() {
    let arcb = Arcb::default();
    for spoil in ["measurement", "garbled_additional", "short_additional", "cuid", "nothing"] {
        let mut bench = Bench::new(&format!("faults: [{{on: attest, spoil: {spoil}}}]"));
        let call = Call::new(arcb.build(&bench.host.public), 64);
        let holds = |answer: &Answer| answer.measurement == arcb.measured(&answer.cuid, b"", &answer.additional);
        let answer = call.ask(&mut bench).unwrap();
        assert!(answer.rc == Rc::SUCCESS && !holds(&answer), "{spoil}");
        assert!(bench.last_event().fault);
        assert!(holds(&call.ask(&mut bench).unwrap()), "{spoil}: the second time all is well");
    }
}
