//! The guest as a whole: ioctls with the driver's checks, faults, reboot, the files that exist.

use crate::errno::Errno;
use crate::testing::{Bench, build::Parts};
use crate::tree::Node;
use crate::uv::Rc;
use crate::uv::driver::BLOCK_LEN;

fn page() -> Vec<u8> {
    vec![0xaa; 0x1000]
}

#[test]
fn info_shows_what_kernel_and_ultravisor_have() {
    for (scenario, ioctls, calls) in [
        ("", 0x1f_u64, 0x1e_u64),
        ("kernel: {retrieve: true, info_knows_retrieve: true}", 0x3f, 0x3e),
        ("kernel: {retrieve: true, info_knows_retrieve: true}\nultravisor: {retrieve: false}", 0x3f, 0x1e),
        // Such a kernel shows the bit of attestation, whatever the ultravisor says of retrieving.
        ("kernel: {retrieve: true}\nultravisor: {retrieve: false}", 0x3f, 0x3e),
        ("kernel: {retrieve: true}\nultravisor: {attestation: false}", 0x3f, 0x1c),
        ("ultravisor: {secrets: false}", 0x1f, 2),
    ] {
        let (rc, words) = Bench::new(scenario).ioctl(0, vec![0; 16]).unwrap();
        assert_eq!(rc, Rc::SUCCESS);
        assert_eq!(words, [ioctls.to_ne_bytes(), calls.to_ne_bytes()].concat(), "{scenario}");
    }
}

#[test]
fn the_driver_checks_lengths_before_it_asks_the_ultravisor() {
    let mut bench = Bench::new("");
    for (number, len) in [(0, 15), (1, 0x137), (2, 0), (2, 0x10_0001), (3, 0xfff), (3, 0x2000), (4, 16), (3, 0)] {
        assert_eq!(bench.ioctl(number, vec![0; len]), Err(Errno::EINVAL), "ioctl {number} with {len} bytes");
    }
    assert_eq!(bench.ioctl(5, vec![0; 64]), Err(Errno::ENOTTY), "this kernel cannot retrieve");
    assert_eq!(bench.ioctl(6, vec![0; 64]), Err(Errno::ENOTTY));
}

#[test]
fn only_the_exact_command_word_and_a_clean_control_block_are_taken() {
    let mut bench = Bench::new("");
    let memory = crate::testing::Memory(vec![0; 16].into());
    let mut block = [0; BLOCK_LEN];
    block[8..16].copy_from_slice(&0x1000_u64.to_ne_bytes());
    block[16..20].copy_from_slice(&16_u32.to_ne_bytes());
    let mut call = |word: u32, mut block: [u8; BLOCK_LEN]| {
        bench.guest.ioctl(7, word, &mut block, &memory, bench.now).result.map(|()| block[4..6].to_vec())
    };
    assert_eq!(call(0xc040_7500, block), Ok(1_u16.to_ne_bytes().to_vec()));
    for word in [0x8040_7500, 0x4040_7500, 0xc040_7600, 0xc020_7500, 0xc040_7507] {
        assert_eq!(call(word, block), Err(Errno::ENOTTY), "{word:#x}");
    }
    for at in [0, 20, 63] {
        let mut dirty = block;
        dirty[at] = 1;
        assert_eq!(call(0xc040_7500, dirty), Err(Errno::EINVAL), "byte {at}");
    }
    let mut far = block;
    far[8..16].copy_from_slice(&0x2000_u64.to_ne_bytes());
    assert_eq!(call(0xc040_7500, far), Err(Errno::EFAULT));
    assert_eq!(call(0xc040_7500, [0; BLOCK_LEN]), Err(Errno::EINVAL));
}

#[test]
fn a_kernel_that_takes_more_pages_gives_one_long_list() {
    let scenario = "kernel: {list_pages: 4}\nultravisor: {max_assoc_secrets: 200}";
    let mut bench = Bench::new(scenario);
    for id in 0..=85 {
        assert_eq!(bench.add(id), Rc::SUCCESS);
    }
    let (rc, list) = bench.ioctl(3, page()).unwrap();
    assert_eq!((rc, &list[..4]), (Rc::MORE_DATA, [0, 85, 0, 86].as_slice()));
    let (rc, list) = bench.ioctl(3, [page(), page()].concat()).unwrap();
    assert_eq!((rc, &list[..4]), (Rc::SUCCESS, [0, 86, 0, 86].as_slice()));
    assert_eq!(list[16 + 85 * 48 + 16..][..32], [85; 32]);
    assert_eq!(bench.ioctl(3, vec![0; 0x5000]), Err(Errno::EINVAL));
}

#[test]
fn retrieving_by_index_puts_the_secret_where_the_index_was() {
    let mut bench = Bench::new("kernel: {retrieve: true}");
    let parts = Parts { secret_type: 3, secret: b"\0\x05hello123456789".to_vec(), ..Parts::default() };
    let request = parts.build(&bench.host.public);
    assert_eq!(bench.ioctl(2, request).unwrap().0, Rc::SUCCESS);
    let (rc, buffer) = bench.ioctl(5, vec![0; 32]).unwrap();
    assert_eq!((rc, &buffer[..16]), (Rc::SUCCESS, b"\0\x05hello123456789".as_slice()));
    assert_eq!(bench.ioctl(5, vec![0; 0x2001]), Err(Errno::EINVAL));
}

#[test]
fn a_fault_replaces_the_answer_with_or_without_the_effect() {
    let mut bench = Bench::new(
        "faults: [{on: add_secret, uv_rc: 0x010d}, {on: add_secret, nth: 2, errno: EIO, done: true}, \
         {on: lock_secrets, kill: after}, {on: list_secrets, delay_ms: 7}]",
    );
    assert_eq!(bench.add(1), Rc::DUMPING);
    assert_eq!(bench.guest.state(bench.now)["secrets"].as_array().unwrap().len(), 0);
    let request = Parts::default().build(&bench.host.public);
    assert_eq!(bench.ioctl(2, request), Err(Errno::EIO));
    assert_eq!(bench.guest.state(bench.now)["secrets"].as_array().unwrap().len(), 1);
    let event = bench.last_event();
    assert_eq!((event.name.as_str(), event.errno, event.fault), ("add_secret", Some(Errno::EIO), true));
    let memory = crate::testing::Memory(page().into());
    let answer = bench.guest.ioctl(7, 0xc040_7504, &mut [0; BLOCK_LEN], &memory, bench.now);
    assert!(answer.kill);
    assert_eq!(bench.guest.state(bench.now)["locked"], true);
    let mut block = [0; BLOCK_LEN];
    block[8..16].copy_from_slice(&0x1000_u64.to_ne_bytes());
    block[16..20].copy_from_slice(&0x1000_u32.to_ne_bytes());
    assert_eq!(bench.guest.ioctl(7, 0xc040_7503, &mut block, &memory, bench.now).takes.as_millis(), 7);
}

#[test]
fn a_caller_killed_before_the_call_has_changed_nothing() {
    let mut bench = Bench::new("faults: [{on: lock_secrets, kill: before}]");
    let memory = crate::testing::Memory(Vec::new().into());
    assert!(bench.guest.ioctl(7, 0xc040_7504, &mut [0; BLOCK_LEN], &memory, bench.now).kill);
    assert_eq!(bench.guest.state(bench.now)["locked"], false);
}

#[test]
fn reboot_empties_the_store_unlocks_unbinds_and_changes_the_boot_id() {
    let mut bench = Bench::new("cards: {\"00\": {type: CEX8P, queues: {\"0001\": {}}}}\ndelays: {bind_ms: 0}");
    bench.add(1);
    assert_eq!(bench.ioctl(4, Vec::new()).unwrap().0, Rc::SUCCESS);
    assert_eq!(bench.ioctl(4, Vec::new()).unwrap().0, Rc::LOCKED);
    bench.write("devices/ap/card00/00.0001/se_bind", "1").unwrap();
    let before = bench.guest.state(bench.now);
    bench.guest.reboot(bench.now).unwrap();
    let after = bench.guest.state(bench.now);
    assert_eq!((&before["locked"], &before["queues"][0]["state"]), (&true.into(), &"bound".into()));
    assert_eq!((&after["locked"], &after["queues"][0]["state"]), (&false.into(), &"unbound".into()));
    assert_eq!(after["secrets"].as_array().unwrap().len(), 0);
    assert_ne!((&before["boot_id"], &before["cuid"]), (&after["boot_id"], &after["cuid"]));
}

#[test]
fn the_state_shows_no_secret() {
    let mut bench = Bench::new("");
    bench.add(1);
    assert!(!bench.guest.state(bench.now).to_string().contains(&"11".repeat(8)));
}

#[test]
fn a_fragment_may_not_bring_another_host_key() {
    let mut bench = Bench::new("");
    let now = bench.now;
    assert!(bench.guest.set("host_key: other", now).is_err());
    bench.guest.set("faults: [{on: info, errno: ENODEV, times: 0}]", now).unwrap();
    assert_eq!(bench.ioctl(0, vec![0; 16]), Err(Errno::ENODEV));
    bench.guest.set("clear_faults: true", now).unwrap();
    assert_eq!(bench.ioctl(0, vec![0; 16]).unwrap().0, Rc::SUCCESS);
}

#[test]
fn every_name_in_a_folder_exists_and_every_file_can_be_read() {
    let mut bench = Bench::new(
        "cards: {\"00\": {type: CEX8P, queues: {\"0001\": {}, \"00ff\": {present: false}}}, \
         \"ff\": {type: CEX8A, queues: {\"0001\": {}}}, \"01\": {type: CEX8C, queues: {\"0001\": {}}}}",
    );
    let (mut folders, mut files) = (vec!["/".to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for (name, node) in bench.guest.tree(bench.now).children(&folder) {
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            assert_eq!(bench.guest.tree(bench.now).node(&path).as_ref(), Some(&node), "{path}");
            match node {
                Node::Dir => folders.push(path),
                Node::File(..) if path == "/dev/uv" => {}
                Node::File(..) => {
                    files += 1;
                    let text = bench.guest.read(0, &path, bench.now).result.unwrap();
                    assert_eq!(text.last(), Some(&b'\n'), "{path}");
                }
                Node::Link(target) => assert!(target.starts_with("../../../devices/ap/card"), "{path}"),
            }
        }
    }
    assert!(files > 60, "{files} files");
    for missing in ["/sys/devices/ap/card00/00.00ff", "/sys/devices/ap/card0", "/sys/devices/ap/cardFF", "/etc"] {
        assert_eq!(bench.guest.tree(bench.now).node(missing), None, "{missing}");
    }
}

#[test]
fn a_scenario_leaves_out_and_overwrites_files() {
    let mut bench = Bench::new(
        "absent: [/dev/uv, /sys/bus/ap, /sys/firmware/uv/query/max_secrets]\n\
         attributes: {/sys/firmware/uv/prot_virt_guest: \"\\e[2J\"}",
    );
    for path in ["/dev/uv", "/sys/bus/ap", "/sys/bus/ap/features", "/sys/firmware/uv/query/max_secrets"] {
        assert_eq!(bench.guest.tree(bench.now).node(path), None, "{path}");
    }
    assert!(bench.guest.tree(bench.now).node("/sys/firmware/uv/query/max_cpus").is_some());
    let text = bench.guest.read(0, "/sys/firmware/uv/prot_virt_guest", bench.now).result.unwrap();
    assert_eq!(text, b"\x1b[2J");
}
