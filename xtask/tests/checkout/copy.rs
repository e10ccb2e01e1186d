//! A copy of this checkout's sources that a test may break.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A copy of the sources in a temporary folder, removed at the end.
pub struct Checkout {
    folder: PathBuf,
    pub root: PathBuf,
}

/// Git's user, without the settings of whoever runs the tests.
const IDENTITY: [(&str, &str); 6] = [
    ("GIT_AUTHOR_NAME", "Tester"),
    ("GIT_AUTHOR_EMAIL", "tester@example.org"),
    ("GIT_COMMITTER_NAME", "Tester"),
    ("GIT_COMMITTER_EMAIL", "tester@example.org"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
];

impl Checkout {
    /// Copies the sources to `path` below a folder of this test's own.
    pub fn new(name: &str, path: &str) -> Checkout {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let root = folder.join(path);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for part in ["alerts", "dashboards", "metrics", "values", "chart", "docs", "upstream"] {
            copy(&source.join(part), &root.join(part));
        }
        // What was vendored here is not part of the sources.
        let _ = fs::remove_dir_all(root.join("chart/charts"));
        fs::copy(source.join("CHANGELOG.md"), root.join("CHANGELOG.md")).unwrap();
        Checkout { folder, root }
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.env("CARGO_MANIFEST_DIR", self.root.join("xtask")).env_remove("SOURCE_DATE_EPOCH");
        command.env("GORAX_MONITORING_CACHE", self.cache());
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    pub fn package(&self) {
        let output = self.run(&["package"]);
        assert!(output.status.success(), "{}", stderr(&output));
    }

    /// Makes the copy a Git repository and commits all that is in it.
    pub fn commit(&self) {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".gitignore"), self.path(".gitignore"))
            .unwrap();
        for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "All"]] {
            self.git(arguments);
        }
    }

    /// Runs the binary with Git's settings of nobody on this machine.
    pub fn as_tester(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).envs(IDENTITY).output().unwrap()
    }

    /// Runs Git in the copy, as somebody.
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        let output = git.arg("-C").arg(&self.root).args(arguments).envs(IDENTITY).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The cache of this copy, empty at first.
    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub fn edit(&self, path: &str, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "the edit of {path} changes nothing");
        fs::write(self.path(path), changed).unwrap();
    }

    pub fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    /// Every file below chart/, dist/ and upstream/ and in the cache with its bytes.
    pub fn outputs(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in ["chart", "dist", "upstream"] {
            list(&self.path(folder), &mut files);
        }
        list(&self.cache(), &mut files);
        files
    }

    /// The archives in dist/, by name.
    pub fn archives(&self) -> BTreeMap<String, Vec<u8>> {
        let names = fs::read_dir(self.path("dist")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let names = names.filter(|name| name.ends_with(".tgz"));
        names.map(|name| (name.clone(), fs::read(self.path("dist").join(name)).unwrap())).collect()
    }

    /// The archive of the addon edition in dist/.
    pub fn addon(&self) -> Vec<u8> {
        self.archives().remove(&format!("gorax-monitoring-addon-{}.tgz", self.version())).unwrap()
    }

    /// The archive of the full edition in dist/.
    pub fn full(&self) -> Vec<u8> {
        self.archives().remove(&format!("gorax-monitoring-{}.tgz", self.version())).unwrap()
    }

    /// The chart's version.
    pub fn version(&self) -> String {
        let chart = fs::read_to_string(self.path("chart/Chart.yaml")).unwrap();
        chart.lines().find_map(|line| line.strip_prefix("version: ")).unwrap().to_owned()
    }

    /// Imports the stand-in as the pinned dependency, so that both editions can be built.
    pub fn vendor_stand_in(&self) {
        let path = self.folder.join("stand-in.tgz");
        fs::write(&path, stand_in("88.5.3")).unwrap();
        let output = self.run(&["vendor", "--from", path.to_str().unwrap(), "--pin"]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

/// The stand-in for kube-prometheus-stack, packed, as any version.
pub fn stand_in(version: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-in/kube-prometheus-stack");
    let mut paths = BTreeMap::new();
    list(&folder, &mut paths);
    let relative = |path: &Path| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
    let mut files: helmpack::archive::Files =
        paths.iter().map(|(path, bytes)| (relative(path), bytes.clone())).collect();
    let chart = String::from_utf8(files.remove("Chart.yaml").unwrap()).unwrap();
    files.insert("Chart.yaml".to_owned(), chart.replace("88.5.3", version).into_bytes());
    helmpack::archive::pack("kube-prometheus-stack", &files, 0).unwrap()
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn list(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

/// What a command printed on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
