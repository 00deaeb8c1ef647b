//! Error codes of this module.

fault::codes! {
    ID_FILE_COLLISION = "args.id_file_collision", "The path of the id file is taken by another secret's id file, or by something else.";
    ON_GUEST = "request.on_guest", "Requests are built on a trusted machine; this is a Secure Execution guest.";
    NOT_OURS = "request.not_ours", "The existing file at the request's path is not an add-secret request; it is not overwritten.";
    SECRET_MISSING = "request.secret_missing", "The file with the secret does not exist.";
    SECRET_EXISTED = "request.secret_existed", "A secret is not created: a request, a manifest or an id file shows that one with its id existed before.";
    SECRET_HELD = "request.secret_held", "A secret is not created: a guest holds one with its id.";
    SECRET_CHANGED = "request.secret_changed", "The secret is not the one that the request was built from.";
    SECRET_LOCKED = "request.secret_locked", "The file with the secret is encrypted, and no key to read it is given.";
    SECRET_IN_CLEAR = "request.secret_in_clear", "The file with the secret is in the clear, though it should be encrypted.";
    RECIPIENT_LEFT_OUT = "request.recipient_left_out", "The file with the secret is not encrypted for one of its recipients; it is never re-encrypted automatically.";
    SECRET_CREATED = "request.secret_created", "A new secret was created; its file is the only copy.";
    NO_MANIFEST = "request.no_manifest", "A request has no manifest, so what it was built from is unknown; it is built again.";
    UNTRUSTED_MANIFEST = "request.untrusted_manifest", "The manifest of the request was changed, or written by another user; the request is built again.";
    ALTERED = "request.altered", "The request is not the one in its manifest: a run was interrupted, or the request was changed; it is built again.";
    ORIGIN_NOT_PROVED = "request.origin_not_proved", "The request carries no extension secret, so its origin is not proved to the guest's image.";
    LEFT_IN_PLACE = "request.left_in_place", "A file was not removed, because another request uses it or it does not belong to this request.";
}
