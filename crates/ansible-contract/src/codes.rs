//! Error codes of Ansible's contract.

fault::codes! {
    UNREADABLE = "args.unreadable", "The arguments file that Ansible hands over cannot be read or is not one JSON object.";
    UNKNOWN_OPTION = "args.unknown_option", "An option that the module does not have, probably mistyped.";
    INVALID = "args.invalid", "An option's value is not of its type or outside its range.";
    MISSING = "args.missing", "A required option, or one of several of which one is required, is not given.";
    CONFLICT = "args.conflict", "Options that exclude each other are given together.";
    QUOTE_HEX = "args.quote_hex", "A hex value arrived as a number that does not show its digits; write it in quotes.";
    QUOTE_NAME = "args.quote_name", "A name, an APQN or a secret arrived as a number or a boolean, which YAML made of it; write it in quotes.";
    SRC_NEEDS_COLLECTION = "args.src_needs_collection", "src names a file on the controller, which only the collection's action plugin can read.";
    BUG = "internal.bug", "A fault of the module itself.";
}
