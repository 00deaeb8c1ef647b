//! OpenSSL for other machines, static and cut down to what building and reading requests needs. Its source is that of the
//! crate openssl-src, so Cargo.lock pins it.

use super::elf::NEWEST_GLIBC;
use super::linked::Linked;
use super::toolchain::Toolchain;
use crate::chore::quietly;
use anyhow::Result;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// What it is built without. What stays: elliptic curves and RSA, X.509 with revocation lists, CMS, AES, SHA, private keys
/// with a passphrase, TLS 1.2 and 1.3. Neither openssl.cnf nor modules are ever loaded from the target's disk, and it
/// never asks for a passphrase by itself.
const WITHOUT: &str = "shared module dso engine legacy tests apps docs quic async sock http autoload-config comp zlib ssl3 dtls \
    srp cmp ts ct ocb siv camellia idea seed aria bf cast rc2 rc4 rc5 md4 mdc2 rmd160 sm2 sm3 sm4 whirlpool gost ec2m rfc3779 \
    ssl-trace nextprotoneg ui-console ml-dsa ml-kem slh-dsa lms";

/// Where one was built.
pub struct OpenSsl {
    /// The source with what was built in it.
    tree: PathBuf,
}

impl OpenSsl {
    /// Builds it for a machine, unless it is there already.
    ///
    /// # Errors
    /// What Configure or make said.
    pub fn build(tools: &Toolchain, machine: &str, linked: &Linked<'_>) -> Result<Self> {
        let folder = tools.work().join("openssl").join(machine);
        let openssl = Self { tree: folder.join("tree") };
        let options: Vec<_> = WITHOUT.split_whitespace().map(|part| format!("no-{part}")).collect();
        let stamp = folder.join("built");
        let wanted = format!("{} {}", linked.openssl_version, options.join(" "));
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(openssl);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let programs = folder.join("bin");
        fs::create_dir_all(&programs)?;
        quietly(Command::new("cp").arg("-r").arg(&linked.openssl_source).arg(&openssl.tree))?;
        // Configure's arguments get into the library, so the machine's paths hide in the compiler's wrapper.
        let (major, minor) = NEWEST_GLIBC;
        let map = format!("-ffile-prefix-map={}=/openssl", openssl.tree.display());
        let python = tools.program("python").display().to_string();
        for (name, arguments) in [
            ("cc", format!("cc -target {machine}-linux-gnu.{major}.{minor} '{map}'")),
            ("ar", "ar".into()),
            ("ranlib", "ranlib".into()),
        ] {
            let path = programs.join(format!("seguest-{name}"));
            fs::write(&path, format!("#!/bin/sh\nexec '{python}' -m ziglang {arguments} \"$@\"\n"))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        let run = |program: &str, arguments: &[&str]| -> Result<()> {
            let mut command = Command::new(program);
            tools.zig(&mut command, Some(&programs))?;
            // The date that OpenSSL says it was built on: of no use to anybody, and not to be another in each commit.
            command.args(arguments).current_dir(&openssl.tree).env("SOURCE_DATE_EPOCH", "0");
            for (variable, tool) in [("CC", "seguest-cc"), ("AR", "seguest-ar"), ("RANLIB", "seguest-ranlib")] {
                command.env(variable, tool);
            }
            // make hands them on, and Configure takes them for its own.
            for variable in ["CFLAGS", "CPPFLAGS", "LDFLAGS", "CROSS_COMPILE", "MAKEFLAGS"] {
                command.env_remove(variable);
            }
            quietly(&mut command).map(|_| ())
        };
        let name = if machine == "s390x" { "linux64-s390x".into() } else { format!("linux-{machine}") };
        let places = ["--prefix=/nonexistent", "--openssldir=/nonexistent", "--libdir=lib"];
        let code = ["-Os", "-ffunction-sections", "-fdata-sections", "-fPIC"];
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        run("perl", &[&["./Configure", &name], places.as_slice(), &options, &code].concat())?;
        let jobs = format!("-j{}", std::thread::available_parallelism().map_or(1, usize::from));
        run("make", &[&jobs, "build_generated"])?;
        run("make", &[&jobs, "libcrypto.a", "libssl.a"])?;
        fs::write(stamp, wanted)?;
        Ok(openssl)
    }

    /// Tells the build of the crate openssl-sys where it is.
    pub fn tell(&self, command: &mut Command) {
        command
            .env("OPENSSL_LIB_DIR", &self.tree)
            .env("OPENSSL_INCLUDE_DIR", self.tree.join("include"))
            .env("OPENSSL_STATIC", "1");
    }
}
