//! What users type.

use ansible_contract::{HexText, Mode, NameText, NoLog, PathText};
use pv_request::IdFile;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use trusted::{Entries, Layered as _};

trusted::layered_options! {
    /// Options of `secret_request`.
    struct Options {
        /// The request, a file. May be omitted with O(return_content); then the request is rebuilt in each run.
        /// Temporary files of a killed run next to it or O(secret_file) are removed by the next run. On a file system
        /// without locks, those of another machine are removed once they are an hour old.
        path: PathText,
        /// Whether the request should exist. V(absent) removes the request, its copies from O(backup), its manifest,
        /// and the file of O(id_file) unless another manifest in the same folder names that; never a secret.
        state: State = State::Present,
        /// Type of the secret. pvsecret's spellings V(plain), V(aes-xts), V(hmac-sha), V(update-cck) and V(cck) are
        /// accepted, too.
        r#type: Kind = Kind::Association,
        /// The secret's name. Required except for the types V(meta) and V(update_cck), which have none. The id is its
        /// SHA-256, including leading and trailing blanks.
        name: NameText,
        /// Whether to use the name itself, its first 31 bytes, as the id, instead of its hash.
        use_name: bool = false,
        /// Host key documents, one for each machine that the guest may run on, each in its own file. Required. A host
        /// key that is in two of them gets one slot in the request, with a warning.
        host_keys: Vec<PathText>,
        /// SHA-256 hashes of the only acceptable host keys, 64 hex digits each. Without it, any machine made by IBM
        /// is acceptable, not only yours.
        host_key_hashes: Vec<HexText<64, 64>>,
        /// The guest's boot image, or its Secure Execution header. Required.
        image: PathText,
        /// Certificates of the IBM signing key and of the authorities between it and the root.
        /// Required unless O(verify_host_keys=false). At most 1,000.
        certificates: Vec<PathText>,
        /// Certificate revocation lists. Lists in the files of O(certificates) are used as well. At most 4 MiB each,
        /// 8 MiB in total, and 1,000 lists; if there are more, none is read.
        crls: Vec<PathText>,
        /// The trusted root certificate. The default is the system's bundle; the result names it.
        root_ca: PathText,
        /// Whether to fetch revocation lists that are missing or outdated in O(crls) from the C(http) and C(https)
        /// addresses in the certificates; also in check mode. A certificate's addresses are used only after its
        /// signature was verified. Without this option, the error for a missing list names the addresses. From the
        /// task's environment, C(http_proxy) is used for C(http) addresses and C(https_proxy) for C(https) addresses;
        /// if it is not set, C(all_proxy), and then that of the other scheme. C(no_proxy) and C(SSL_CERT_FILE) are
        /// used, too. An empty variable means no proxy. A proxy is C(http://HOST:PORT) or
        /// C(http://USER:PASSWORD@HOST:PORT); for C(https) it must support CONNECT.
        download_crls: bool = false,
        /// Whether to verify that the host key documents come from IBM and are not revoked. V(false) warns in every
        /// result.
        verify_host_keys: bool = true,
        /// The file with the secret: raw bytes, or for O(type=ec) a private key in DER or PEM; in the clear, or
        /// encrypted as CMS, see O(secret_recipients). It must belong to the user who runs the module, with no rights
        /// for others. Its folder must not be writable for everybody, unless it is sticky like C(/tmp). A folder that
        /// belongs to a user other than this one and root, or is writable for its group and not sticky, causes a
        /// warning. Only owner and mode of this folder are checked (of its target, if it is a link), not of those
        /// above it.
        secret_file: PathText,
        /// The secret in base64, instead of O(secret_file).
        secret: NoLog,
        /// For O(type=association), whether to create a random secret if O(secret_file) does not exist. Back it up
        /// then: the warning that says so is given once, and is lost if the run is killed before it. A secret that
        /// existed once is never recreated, unless O(replace_secret=true): if a request, a manifest or an id file in
        /// the request's folder or in O(history) shows that one with its id existed, or O(held) does, its file was
        /// lost, or is in another folder. This is checked for all requests before the first secret is created. If
        /// given for the task, it applies to those O(requests) whose secret can be created.
        create_secret: bool = false,
        /// More folders with earlier requests, and folders of such folders; see O(create_secret).
        history: Vec<PathText>,
        /// Ids of secrets that guests hold, each a dictionary with V(id) and V(by), the guest's name; see
        /// O(create_secret).
        #[cfg_attr(feature = "docs", schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>"))]
        held: Vec<Held>,
        /// Whether no earlier task creates any of the files that are read. Then a missing file fails the task in
        /// check mode, too.
        inputs_complete: bool = false,
        /// Whether the secret may differ from the one that the request was built from.
        replace_secret: bool = false,
        /// Certificates for which O(secret_file) is encrypted, each in its own file: each of their private keys
        /// decrypts it, also with C(openssl cms -decrypt -inform PEM). A new secret is then never in the clear on
        /// disk, and a file in the clear is refused. An existing file is never re-encrypted: if it leaves out a
        /// recipient, there is a warning.
        secret_recipients: Vec<PathText>,
        /// Private key of one of the recipients, in PEM or DER, to decrypt O(secret_file). Without it, a secret can
        /// be used only in the request with which it is created; an existing request stays unchanged as long as all
        /// other inputs do, because the file cannot be checked. File and folder as for O(secret_file).
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
        /// What the request does besides adding a secret. V(disable_dump) prevents dumps of the guest.
        flags: Vec<Flag>,
        /// File with data that the request contains in the clear: at most 512 bytes, 256 if they are signed (128 with
        /// RSA-3072).
        user_data_file: PathText,
        /// Private key that signs the user data: on P-521, RSA-2048 or RSA-3072, in DER or PEM.
        /// File and folder as for O(secret_file).
        user_signing_key: PathText,
        /// The YAML file that names the secret, as pvsecret writes it. By default next to O(path), named after the
        /// secret with blanks replaced by C(_), and C(.yaml).
        id_file: PathText,
        /// Whether the module may run in a Secure Execution guest.
        allow_on_guest: bool = false,
        /// Whether to create missing folders of O(path), of O(id_file) and of a new secret, with mode 0700.
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
        /// Echoed in the results, to distinguish requests.
        label: String,
        /// Whether the task succeeds although some of O(requests) could not be built or have invalid options: each of
        /// these has RV(requests[].failed) and RV(requests[].error), and the results contain all requests. A mistake
        /// in the task's own options always fails the task.
        keep_going: bool = false,
    }
    /// Several requests. Each is a dictionary of this module's options, which override those of the task; lists
    /// are replaced. If the task fails, the results contain only the failed ones.
    list requests
}

impl Options {
    /// Whether it is a secret that can be made: random bytes, in a file.
    fn can_create(&self) -> bool {
        self.r#type() == Kind::Association && self.secret.is_none() && self.state() == State::Present
    }
}

/// The requests of a task.
#[derive(Debug)]
pub struct Requests(Entries<Options>);

impl Requests {
    /// The task itself is the one request, unless it has O(requests).
    ///
    /// # Errors
    /// `args.unknown_option` for requests within requests, and the `args.*` codes for a request that cannot be meant, unless
    /// the task is to keep going.
    pub fn new(options: Options) -> fault::Result<Self> {
        let requests = Self(Entries::new(options)?);
        match requests.0.refused() {
            Some(fault) if !requests.keep_going() => Err(fault),
            _ => Ok(requests),
        }
    }

    /// Whether the task succeeds although some of them could not be made.
    pub fn keep_going(&self) -> bool {
        self.0.shared.keep_going()
    }

    /// The files of each request that are written, and that of its secret.
    pub fn files(&self) -> impl Iterator<Item = Files<'_>> {
        let shared = &self.0.shared;
        self.0.read().map(|(at, own)| {
            let path = own.path.as_ref().or(shared.path.as_ref()).map(PathText::as_path);
            let name = own.name.as_ref().or(shared.name.as_ref());
            let id_file = own.id_file.as_ref().or(shared.id_file.as_ref()).map(|file| file.as_path().to_owned());
            Files {
                at,
                path,
                id_file: id_file.or_else(|| Some(path?.with_file_name(IdFile::file_name(name?)?))),
                secret: own.secret_file.as_ref().or(shared.secret_file.as_ref()).map(PathText::as_path),
            }
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// Those that may make their secret.
    pub fn creations(&self) -> impl Iterator<Item = Creation<'_>> {
        let shared = &self.0.shared;
        self.0.read().filter_map(|(_, own)| {
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

    /// All options of each request, or its label and why it cannot be meant.
    pub fn each(self) -> impl Iterator<Item = Result<Options, (Option<String>, fault::Fault)>> {
        self.0.each(|own, shared| {
            let (said, mut all) = (own.create_secret, own.laid_over(shared));
            if said.is_none() && !all.can_create() {
                all.create_secret = None;
            }
            all
        })
    }
}

/// The files of a request.
#[derive(Debug)]
pub struct Files<'a> {
    /// Its place in the list.
    pub at: usize,
    /// The request itself. Beside it is its manifest.
    pub path: Option<&'a Path>,
    /// Its id file.
    pub id_file: Option<PathBuf>,
    /// The file that the secret is read from, or made in.
    pub secret: Option<&'a Path>,
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

/// Whether a request should exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Present,
    /// It is not.
    Absent,
}

/// The type of a secret.
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

/// What a request does besides adding a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// From then on, the guest cannot be dumped.
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
