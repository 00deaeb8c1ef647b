//! Error codes of Ansible's contract.

fault::codes! {
    UNREADABLE = "args.unreadable", "The arguments file from Ansible cannot be read, or is not one JSON object.";
    UNKNOWN_OPTION = "args.unknown_option", "The module has no such option; it was probably mistyped.";
    INVALID = "args.invalid", "An option's value has the wrong type, or is outside its range.";
    MISSING = "args.missing", "A required option is not given, or none of several of which one is required.";
    CONFLICT = "args.conflict", "Mutually exclusive options are given together.";
    QUOTE_HEX = "args.quote_hex", "A hex value arrived as a number that does not show its digits; write it in quotes.";
    QUOTE_NAME = "args.quote_name", "A name, an APQN or a secret was turned into a number or a boolean by YAML; write it in quotes.";
    SRC_NEEDS_COLLECTION = "args.src_needs_collection", "src names a file on the controller, which only the collection's action plugin can read.";
    BUG = "internal.bug", "A bug in the module itself.";
}
