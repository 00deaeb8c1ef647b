//! What users type.

use ansible_contract::Mode;
use ansible_contract::{HexText, NameText, NoLog, PathText};
use serde::{Deserialize, Serialize};
use std::path::Path;
use trusted::Layered as _;

trusted::layered_options! {
    /// Options of `secret_request`.
    struct Options {
        /// The request, a file. May be left out with O(return_content); then the request is made anew in each run.
        /// What a killed run leaves beside it or O(secret_file) is cleared away by the next one; but on a file system
        /// without locks not C(.NAME.seguest-tmpPID), which may be another machine's and is yours to remove.
        path: PathText,
        /// Whether the request is to be there.
        /// V(absent) removes the request, those that O(backup) kept of it, and its manifest, and the file of O(id_file) unless
        /// another manifest beside it names that; never a secret.
        state: State = State::Present,
        /// What the secret is. pvsecret's spellings V(plain), V(aes-xts), V(hmac-sha), V(update-cck) and V(cck) are
        /// taken as well.
        r#type: Kind = Kind::Association,
        /// The secret's name. Required but for the types V(meta) and V(update_cck), which have none.
        /// The id is its SHA-256; blanks at its ends count.
        name: NameText,
        /// Whether the id is the name itself, its first 31 bytes, instead of its hash.
        use_name: bool = false,
        /// Host key documents, one for each machine that the guest may run on, each in a file of its own. Required.
        /// A host key that two of them hold has one slot in the request, with a warning.
        host_keys: Vec<PathText>,
        /// SHA-256 hashes of the only host keys that are acceptable, 64 hex digits each.
        /// So "a machine of IBM's make" becomes "my machines".
        host_key_hashes: Vec<HexText<64, 64>>,
        /// The guest's boot image, or the Secure Execution header cut out of it. Required.
        image: PathText,
        /// Certificates of the IBM signing key and of the authorities between it and the root.
        /// Required unless O(verify_host_keys=false). At most 1,000.
        certificates: Vec<PathText>,
        /// Certificate revocation lists. Those in the files of O(certificates) are used as well. Each has at most 4 MiB, all
        /// together 8 MiB; of more than 1,000 none is read.
        crls: Vec<PathText>,
        /// The trusted root certificate. Without it the system's bundle is used; the result names it.
        root_ca: PathText,
        /// Whether to fetch the revocation lists that are not among O(crls), or are outdated there, from the C(http) and
        /// C(https) addresses in the certificates; also in check mode. A certificate's addresses are asked only after
        /// its signature is verified. Without it, the error for a missing list names the addresses.
        /// Of the task's environment C(http_proxy) counts for addresses of C(http) and C(https_proxy) for those of
        /// C(https), for both C(all_proxy) where it is not set, and then that of the other, and C(no_proxy) and
        /// C(SSL_CERT_FILE). One that is set to nothing means no proxy. A proxy is C(http://HOST:PORT) or C(http://USER:PASSWORD@HOST:PORT); for C(https) it must take
        /// CONNECT.
        download_crls: bool = false,
        /// Whether to verify that the host key documents come from IBM and are not revoked. V(false) warns in every
        /// result.
        verify_host_keys: bool = true,
        /// The file with the secret: raw bytes, or for O(type=ec) a private key in DER or PEM; in the clear, or encrypted
        /// as CMS, see O(secret_recipients).
        /// It must belong to the user who runs the module, with no rights for others. Its folder must not be writable
        /// for everybody, unless it is sticky as C(/tmp) is; one that belongs to another user than this one and root, or
        /// is writable for its group and not sticky, gives a warning. Only this folder is judged, where it leads if it is
        /// a link, by its owner and mode; not those above it.
        secret_file: PathText,
        /// The secret in base64, instead of O(secret_file).
        secret: NoLog,
        /// For O(type=association), whether to make a random secret where O(secret_file) does not exist.
        /// Back it up then: the warning that says so is given once, and is not repeated after a run that was killed before
        /// it could give it.
        /// A secret that was there once is never made again, unless O(replace_secret=true): where a request, a manifest or
        /// an id file in the request's folder or in O(history) shows that one of its id existed, or O(held) says so, its
        /// file was lost, or is in another folder. That is found out for all requests before the first secret is made.
        /// Given for a task, it counts for those of its O(requests) whose secret can be made.
        create_secret: bool = false,
        /// More folders with requests that were built earlier, and folders of such folders; see O(create_secret).
        history: Vec<PathText>,
        /// Ids of secrets that guests hold, each a dictionary with V(id) and V(by), which names the guest; see
        /// O(create_secret).
        #[cfg_attr(feature = "docs", schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>"))]
        held: Vec<Held>,
        /// Whether no earlier task makes any of the files that are read. Then a file that is missing fails the task in check
        /// mode, too.
        inputs_complete: bool = false,
        /// Whether the secret may be another one than that from which the request was made.
        replace_secret: bool = false,
        /// Certificates for which O(secret_file) is encrypted, each in a file of its own: each of their private keys opens it, as does
        /// C(openssl cms -decrypt -inform PEM). A secret that is made is never in the clear on disk then, and a file in
        /// the clear is refused. A file that is there is never encrypted anew: one that leaves out a recipient gives a
        /// warning.
        secret_recipients: Vec<PathText>,
        /// Private key of one of the recipients, in PEM or DER, with which an encrypted O(secret_file) is read. Without
        /// it a secret can be used only by the very request with which it is made; a request that is there stays
        /// unchanged as long as everything else is, for nobody looks into the file.
        /// File and folder as for O(secret_file).
        secret_key_file: PathText,
        /// The passphrase of O(secret_key_file).
        secret_key_passphrase: NoLog,
        /// The image's extension secret, 32 raw bytes: it proves where the request comes from.
        /// File and folder as for O(secret_file).
        extension_secret_file: PathText,
        /// The image's customer communication key, 32 raw bytes, from which the extension secret is derived.
        /// File and folder as for O(secret_file).
        cck_file: PathText,
        /// Configuration unique id, 32 hex digits: binds the request to one start of one guest.
        cuid: HexText<32, 32>,
        /// File with the configuration unique id: 16 raw bytes, or YAML with the key C(cuid).
        cuid_file: PathText,
        /// What the request does beside adding a secret. V(disable_dump) keeps the guest from being dumped.
        flags: Vec<Flag>,
        /// File with data that go into the request readable for everybody: at most 512 bytes, 256 if they are signed
        /// (128 with RSA-3072).
        user_data_file: PathText,
        /// Private key that signs the user data: on P-521, RSA-2048 or RSA-3072, in DER or PEM.
        /// File and folder as for O(secret_file).
        user_signing_key: PathText,
        /// The YAML file that names the secret, as pvsecret writes it. Without it, beside O(path), called as the name
        /// with blanks turned into C(_) and C(.yaml) appended.
        id_file: PathText,
        /// Whether the module may run in a Secure Execution guest.
        allow_on_guest: bool = false,
        /// Whether to make the folders of O(path), O(id_file) and of a secret that is made, where they are missing: mode 0700.
        make_folders: bool = false,
        /// Whether to keep a request that is replaced.
        backup: bool = false,
        /// Whether to return the request.
        return_content: bool = false,
        /// Mode of the request as in M(ansible.builtin.file). V(0600) if not given.
        mode: Mode,
        /// Owner of the request, name or number.
        owner: String,
        /// Group of the request, name or number.
        group: String,
        /// Echoed in the results, to tell one request from another.
        label: String,
    }
    /// Several requests. Each is a dictionary of the options of this module, which are laid over those of the task;
    /// lists replace.
    list requests
}

impl Options {
    /// Whether it is a secret that can be made: random bytes, in a file.
    fn can_create(&self) -> bool {
        self.r#type() == Kind::Association && self.secret.is_none() && self.state() == State::Present
    }
}

/// The requests of a task: what they share, and what each has of its own.
#[derive(Debug)]
pub struct Requests {
    shared: Options,
    #[expect(clippy::vec_box, reason = "each is large, there may be thousands, and each is freed when it is done")]
    own: Vec<Box<Options>>,
}

impl Requests {
    /// The task itself is the one request, unless it has O(requests).
    ///
    /// # Errors
    /// `args.unknown_option` for requests within requests.
    pub fn new(options: Options) -> fault::Result<Self> {
        let (shared, own) = trusted::entries(options)?;
        Ok(Self { shared, own })
    }

    /// The path of each request.
    pub fn paths(&self) -> impl Iterator<Item = Option<&PathText>> {
        self.own.iter().map(|own| own.path.as_ref().or(self.shared.path.as_ref()))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.own.len()
    }

    /// Those that may make their secret.
    pub fn creations(&self) -> impl Iterator<Item = Creation<'_>> {
        let shared = &self.shared;
        self.own.iter().filter_map(|own| {
            own.create_secret.or(shared.create_secret).filter(|may| *may)?;
            own.r#type.or(shared.r#type).is_none_or(|kind| kind == Kind::Association).then_some(())?;
            Some(Creation {
                secret_file: own.secret_file.as_ref().or(shared.secret_file.as_ref())?.as_path(),
                path: own.path.as_ref().or(shared.path.as_ref()).map(PathText::as_path),
                history: own.history.as_ref().or(shared.history.as_ref()).map_or(&[], Vec::as_slice),
                held: own.held.as_ref().or(shared.held.as_ref()).map_or(&[], Vec::as_slice),
            })
        })
    }

    /// All options of each request. Made one after the other: there may be thousands.
    pub fn each(self) -> impl Iterator<Item = Options> {
        let Self { shared, own } = self;
        own.into_iter().map(move |own| {
            let (said, mut all) = (own.create_secret, own.laid_over(&shared));
            if said.is_none() && !all.can_create() {
                all.create_secret = None;
            }
            all
        })
    }
}

/// A request that may make its secret.
#[derive(Clone, Copy, Debug)]
pub struct Creation<'a> {
    /// Where the secret would be.
    pub secret_file: &'a Path,
    /// Where the request is.
    pub path: Option<&'a Path>,
    /// Folders that may show that it existed.
    pub history: &'a [PathText],
    /// Secrets that guests hold.
    pub held: &'a [Held],
}

/// A secret that a guest holds.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The secret's id.
    pub id: HexText<64, 64>,
    /// The guest's name.
    pub by: NameText,
}

/// Whether a request is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Present,
    /// It is not.
    Absent,
}

/// What a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 32 bytes that bind crypto queues to the guest.
    Association,
    /// No secret: only flags, user data or an extension secret.
    Meta,
    /// At most 8190 bytes of anything.
    #[serde(alias = "plain")]
    Plaintext,
    /// An AES key.
    Aes,
    /// A pair of keys for AES-XTS.
    #[serde(alias = "aes-xts")]
    AesXts,
    /// An HMAC key of block size.
    #[serde(alias = "hmac-sha")]
    HmacSha,
    /// A private key on an elliptic curve.
    Ec,
    /// A new customer communication key.
    #[serde(alias = "update-cck", alias = "cck")]
    UpdateCck,
}

impl Kind {
    /// The spelling that the results use.
    pub fn option(self) -> &'static str {
        match self {
            Self::Association => "association",
            Self::Meta => "meta",
            Self::Plaintext => "plaintext",
            Self::Aes => "aes",
            Self::AesXts => "aes_xts",
            Self::HmacSha => "hmac_sha",
            Self::Ec => "ec",
            Self::UpdateCck => "update_cck",
        }
    }
}

/// What a request does beside adding a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The guest cannot be dumped from then on.
    #[serde(alias = "disable-dump")]
    DisableDump,
}

impl Flag {
    /// Its bit in the request, most significant bit first.
    pub fn bit(self) -> u64 {
        match self {
            Self::DisableDump => pv_wire::layout::FLAG_DISABLE_DUMP,
        }
    }
}
