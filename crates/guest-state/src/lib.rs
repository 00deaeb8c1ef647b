//! What a Secure Execution guest is to be, one room for each thing that it has: the secret [`store`], its [`lock`], its
//! crypto [`queues`]. [`evidence`] is what it can prove, [`facts`] is what it says of itself, [`boot_files`] what it
//! runs at each boot, and [`whole`] all of it in one run.
//!
//! In each room something is observed, a pure plan compares it with what is wanted, and the plan is either told (check
//! mode) or carried out. Whoever says how a guest stands asks here: modules, the boot unit, and through them roles and the
//! compliance page. The rooms give what Ansible is told ([`ansible_contract::Outcome`]); a module adds only its options.

pub mod boot_files;
pub mod evidence;
pub mod facts;
pub mod lock;
pub mod queues;
pub mod store;
pub mod whole;
