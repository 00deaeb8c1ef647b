//! Debian's kernel for s390x in an emulated machine that has memory and a console, and neither disk nor network. Emulators
//! of user programs know neither FUSE nor the ioctls of devices: programs that need them are tried here.

use super::apt::Apt;
use super::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use e2e::Archive;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The emulator. All libraries that it loads are fetched with it.
const EMULATOR: &str = "qemu-system-misc";
/// The package that depends on the newest kernel of Debian 12.
const NEWEST_KERNEL: &str = "linux-image-s390x:s390x";
const SHELL: &str = "busybox-static:s390x";

/// Seconds after which a machine hangs that has not come to its end; it needs about ten.
const SECONDS: &str = "600";

/// Emulator, kernel and shell, unpacked.
pub struct Kernel {
    folder: PathBuf,
}

impl Kernel {
    /// Fetches what is not there yet.
    ///
    /// # Errors
    /// What this machine lacks for it.
    pub fn fetch(tools: &Toolchain) -> Result<Self> {
        let kernel = Self { folder: tools.folder().join("kernel") };
        if kernel.folder.exists() {
            return Ok(kernel);
        }
        let apt = Apt::new(&tools.folder().join("kernel-apt"), &["amd64", "s390x"])?;
        let newest = apt.dependency(NEWEST_KERNEL)?;
        apt.download(&[newest, SHELL.into()])?;
        apt.download_with_dependencies(EMULATOR)?;
        let new = kernel.folder.with_extension("new");
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        apt.unpack(|architecture| new.join(if architecture == "s390x" { "s390x" } else { "here" }))?;
        fs::rename(new, &kernel.folder)?;
        Ok(kernel)
    }

    /// Boots it with some files. The shell script `steps` is run as root in the folder `/trial`, and the machine ends
    /// with it. Gives what was printed on the console, in lines.
    ///
    /// # Errors
    /// If it does not come to the end of the script, with all that was printed.
    pub fn run(&self, mut files: Archive, steps: &str) -> Result<Vec<String>> {
        let module = self.module("fs/fuse/fuse.ko")?;
        files.file("fuse.ko", 0o644, &fs::read(&module).with_context(|| module.display().to_string())?);
        files.file("bin/busybox", 0o755, &fs::read(self.folder.join("s390x/bin/busybox"))?);
        files.file("init", 0o755, INIT.as_bytes());
        files.file("trial/steps", 0o644, steps.as_bytes());
        let memory = self.folder.with_extension("initrd");
        fs::write(&memory, files.finish())?;
        let output = self.emulator()?.arg("-initrd").arg(&memory).stdin(Stdio::null()).output()?;
        fs::remove_file(&memory)?;
        let printed = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let ended = printed.lines().any(|line| line == END);
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            ended,
            "the emulated machine ended with {}, and before its end it said:\n{printed}{said}",
            output.status
        );
        Ok(printed.lines().map(str::to_owned).collect())
    }

    /// With its own loader and libraries, so that it does not matter which this system has.
    fn emulator(&self) -> Result<Command> {
        let here = self.folder.join("here");
        let libraries = here.join("usr/lib/x86_64-linux-gnu");
        let old_libraries = here.join("lib/x86_64-linux-gnu");
        let mut command = Command::new("timeout");
        command
            .arg(SECONDS)
            .arg(old_libraries.join("ld-linux-x86-64.so.2"))
            .arg("--library-path")
            .arg(format!("{}:{}", libraries.display(), old_libraries.display()))
            .arg(here.join("usr/bin/qemu-system-s390x"))
            .arg("-L")
            .arg(here.join("usr/share/qemu"))
            .args(["-M", "s390-ccw-virtio", "-cpu", "max", "-m", "512", "-nographic", "-nodefaults"])
            .args(["-chardev", "stdio,id=console,signal=off", "-device", "sclpconsole,chardev=console"])
            .args(["-append", "console=ttysclp0 quiet", "-kernel"])
            .arg(self.folder.join("s390x/boot").join(format!("vmlinuz-{}", self.release()?)));
        Ok(command)
    }

    fn module(&self, path: &str) -> Result<PathBuf> {
        Ok(self.folder.join("s390x/lib/modules").join(self.release()?).join("kernel").join(path))
    }

    /// What the kernel calls itself.
    fn release(&self) -> Result<String> {
        let folder = self.folder.join("s390x/lib/modules");
        let first = fs::read_dir(&folder)?.next().with_context(|| format!("{} is empty", folder.display()))??;
        Ok(first.file_name().to_string_lossy().into_owned())
    }
}

/// The line that the machine prints last.
const END: &str = "@@ end";

const INIT: &str = "\
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
insmod /fuse.ko
cd /trial
sh steps
echo '@@ end'
poweroff -f
";
