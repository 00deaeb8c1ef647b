//! Error codes of this module.

fault::codes! {
    OF_THE_TASK = "args.of_the_task", "An option that counts for the whole task is given for one of its entries.";
    PIN_NOT_OURS = "attest.pin_not_ours", "The file in the place of a pinned configuration unique id holds none; it is not overwritten.";
    RESULT_NOT_OURS = "attest.result_not_ours", "The file in the place of an earlier result is none of this module; it is neither overwritten nor removed.";
    NEW_START = "attest.new_start", "A guest was started again since its configuration unique id was pinned, and the new one is pinned: the guest has the SSH host keys by which it is known, or its word that it was rebooted is accepted.";
}
