//! Disks that fill up and that can't be written to, without being root, and as root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use eventlane_testkit::Adapter;
use tempfile::TempDir;

/// A small disk of a program's own, in a namespace that only this program is in. It is gone with it.
pub(super) struct Disk {
    directory: TempDir,
    size: u64,
}

/// How to make a namespace: anybody may where the system lets them, root also where it does not.
const WAYS: [&str; 2] = ["-Urm", "-m"];

impl Disk {
    pub(super) fn new(size: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory, size }
    }

    /// Its dead letters, as the program sees them.
    pub(super) fn letters(&self) -> PathBuf {
        self.directory.path().join("dead.jsonl")
    }

    /// A command that is given this disk.
    pub(super) fn command(&self, program: &Command) -> Command {
        let mount = |way: &str, what: &str| {
            let mut command = Command::new("unshare");
            let script = format!(
                "mount -t tmpfs -o size={} tmpfs \"$0\" && exec {what}",
                self.size
            );
            command
                .args([way, "sh", "-c", &script])
                .arg(self.directory.path());
            command
        };
        let works = |way: &&&str| {
            let tried = mount(way, "true").output();
            tried.is_ok_and(|tried| tried.status.success())
        };
        let way = WAYS.iter().find(works).unwrap_or_else(|| {
            panic!(
                "no disk can be mounted: let users have namespaces (sysctl -w \
                 kernel.apparmor_restrict_unprivileged_userns=0, kernel.unprivileged_userns_clone=1, in a container \
                 also --security-opt seccomp=unconfined), or run as root with CAP_SYS_ADMIN; \
                 EVENTLANE_SKIP_REAL=1 leaves this out"
            )
        });
        let mut command = mount(way, "\"$@\"");
        command.arg(program.get_program()).args(program.get_args());
        command
    }

    /// What is at the path, seen from here.
    pub(super) fn seen_by(&self, adapter: &Adapter, path: &Path) -> PathBuf {
        let inside = path.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", adapter.process.id())).join(inside)
    }

    /// Leaves so many bytes of the disk free, or all.
    pub(super) fn leave(&self, adapter: &Adapter, free: Option<u64>) {
        let ballast = self.seen_by(adapter, &self.directory.path().join("ballast"));
        let Some(free) = free else {
            return fs::remove_file(ballast).expect("remove the ballast");
        };
        let letters = fs::metadata(self.seen_by(adapter, &self.letters())).expect("a file");
        // A file takes whole pages.
        let taken = letters.len().next_multiple_of(4096);
        let size = self.size.saturating_sub(taken + free) / 4096 * 4096;
        fs::write(ballast, vec![0; size as usize]).expect("there is room for the ballast");
    }

    /// Puts a disk over it that is empty and can't be written to.
    pub(super) fn cover(&self, adapter: &Adapter) {
        self.inside(adapter, &["mount", "-t", "tmpfs", "-o", "ro", "tmpfs"]);
    }

    /// Takes that away.
    pub(super) fn uncover(&self, adapter: &Adapter) {
        self.inside(adapter, &["umount"]);
    }

    fn inside(&self, adapter: &Adapter, command: &[&str]) {
        let pid = adapter.process.id().to_string();
        let enter: &[&[&str]] = &[&["-U", "--preserve-credentials"], &[]];
        let done = enter.iter().any(|user| {
            let mut nsenter = Command::new("nsenter");
            nsenter.args(["-t", &pid, "-m"]).args(*user).args(command);
            let status = nsenter.arg(self.directory.path()).output();
            status.is_ok_and(|output| output.status.success())
        });
        assert!(done, "{command:?} in the program's namespace");
    }
}
