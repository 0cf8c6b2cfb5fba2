//! The programs under test.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Mutex, OnceLock},
};

use eventlane_testkit::{
    Adapter,
    adapter::{build, profile_directory},
};

/// A program that carries messages to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Kafka,
    Queue,
    RocketMq,
}

impl Program {
    /// Starts it with these flags.
    pub(crate) fn start(self, flags: &[&str]) -> Adapter {
        Adapter::start(self.path(), flags)
    }

    /// A command that runs it, for an environment of its own.
    pub(crate) fn command(self) -> Command {
        Command::new(self.path())
    }

    /// Where it is; built at the first call.
    ///
    /// `EVENTLANE_ADAPTERS_BUILT=1` says that it lies where cargo puts it, as after
    /// `cargo test --workspace`: with other features around it, building it again takes minutes.
    fn path(self) -> &'static PathBuf {
        static PATHS: [OnceLock<PathBuf>; 3] = [const { OnceLock::new() }; 3];
        static BUILDING: Mutex<()> = Mutex::new(());
        let (package, path) = match self {
            Self::Kafka => ("kafka-to-http", &PATHS[0]),
            Self::Queue => ("queue-to-http", &PATHS[1]),
            Self::RocketMq => ("rocketmq-to-http", &PATHS[2]),
        };
        path.get_or_init(|| {
            if std::env::var_os("EVENTLANE_ADAPTERS_BUILT").is_some_and(|value| value == "1") {
                return profile_directory().join(package);
            }
            let _one_after_the_other = BUILDING.lock();
            build(package)
        })
    }
}
