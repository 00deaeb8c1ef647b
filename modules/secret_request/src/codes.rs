//! Error codes of this module.

fault::codes! {
    ID_FILE_COLLISION = "args.id_file_collision", "The id file's place is taken by another secret's id file or by something else.";
    ON_GUEST = "request.on_guest", "Requests are built on a trusted machine; this is a Secure Execution guest.";
    NOT_OURS = "request.not_ours", "The file in the request's place is no add-secret request; it is not overwritten.";
    SECRET_MISSING = "request.secret_missing", "The file with the secret is not there.";
    SECRET_EXISTED = "request.secret_existed", "A secret is not made: a request, a manifest or an id file shows that one of its id existed before.";
    SECRET_HELD = "request.secret_held", "A secret is not made: a guest holds one of its id.";
    SECRET_CHANGED = "request.secret_changed", "The secret is another one than that from which the request was made.";
    SECRET_LOCKED = "request.secret_locked", "The file with the secret is encrypted, and no key to read it is given.";
    SECRET_IN_CLEAR = "request.secret_in_clear", "The file with the secret is in the clear, though it should be encrypted.";
    RECIPIENT_LEFT_OUT = "request.recipient_left_out", "The file with the secret is not encrypted for one of its recipients; it is never encrypted again by itself.";
    SECRET_CREATED = "request.secret_created", "A new secret was made; only its file holds it.";
    NO_MANIFEST = "request.no_manifest", "A request is there without a manifest, so what it was made from is unknown; it is made again.";
    UNTRUSTED_MANIFEST = "request.untrusted_manifest", "The manifest beside the request was changed or made by another user; the request is made again.";
    ALTERED = "request.altered", "The request is not the one in its manifest: a run was interrupted, or somebody changed it; it is made again.";
    ORIGIN_NOT_PROVED = "request.origin_not_proved", "The request carries no extension secret, so nothing proves to the guest's image where it comes from.";
    LEFT_IN_PLACE = "request.left_in_place", "A file was not removed, for another request uses it or it is not this request's.";
}
