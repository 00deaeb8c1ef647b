//! Error codes that modules of the trusted machine share.

fault::codes! {
    DUPLICATE_PATH = "args.duplicate_path", "Two entries of a task would write the same file.";
    UNVERIFIED = "hkd.unverified", "Host key documents were not verified: a machine not made by IBM may be able to open what is built with them.";
    INSECURE = "file.insecure", "A file that holds a secret can be read or replaced by others, or is not a regular file with only one name.";
    FOLDER_SHARED = "file.folder_shared", "The folder of a file that holds a secret belongs to another user or is writable for its group: they could replace the file.";
    NOT_LISTED = "hkd.not_listed", "A host key document's key is not among host_key_hashes.";
    HOST_KEY_TWICE = "hkd.same_key", "Two host key documents contain the same host key; the request has one slot for it.";
    CUID = "request.cuid", "The file does not contain a configuration unique id (CUID).";
    STATE_KEY = "request.state_key", "The user's key for manifests cannot be used.";
}
