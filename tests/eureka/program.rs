//! Whole processes: the example `eureka_pod`, and a Java process whose test ends.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::harness::{on_eureka, until, within};

/// Builds the example, which belongs to another package, and returns the command that runs it.
fn eureka_pod() -> Command {
    let built =
        Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "examples", "--bin", "eureka_pod"]).status();
    assert!(built.unwrap().success());
    Command::new(Path::new(env!("CARGO_BIN_EXE_test-pod")).parent().unwrap().join("eureka_pod"))
}

/// Kills the process when dropped, so that a failing test leaves nothing behind.
struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // Both fail if the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// On SIGTERM, as when its pod is deleted, the example deregisters at once, keeps serving for the drain, and exits with
/// 0.
#[test]
fn sigterm_deregisters_then_drains_then_exits() {
    on_eureka(1, |world| async move {
        let server = &world.servers[0];
        let mut command = tokio::task::spawn_blocking(eureka_pod).await.unwrap();
        command.env("EUREKA_URL", server.url()).env("PORT", "0").env("DRAIN", "4").env("IP", "127.0.0.1");
        command.env("POD_NAME", "rates-0").env("POD_UID", "9b1f").env("POD_NAMESPACE", "shop").env_remove("HOST_IP");
        let mut pod = ChildGuard(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
        until("registered", || async { server.ids("RATES").await.len() == 1 }).await;
        let id = server.ids("RATES").await.remove(0);
        let port: u16 = id.strip_prefix("rates-0:rates:").unwrap().strip_suffix(":9b1f").unwrap().parse().unwrap();
        let call = || async {
            let answer = reqwest::Client::new().get(format!("http://127.0.0.1:{port}/v1/eur")).send().await.ok()?;
            answer.text().await.ok()
        };
        assert_eq!(call().await.as_deref(), Some("/v1/eur from rates-0"));

        kill(Pid::from_raw(pod.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        until("deregistered", || async { server.ids("RATES").await.is_empty() }).await;
        assert_eq!(call().await.as_deref(), Some("/v1/eur from rates-0"), "the pod serves during the drain");
        let status = within(
            "the example exits",
            tokio::task::spawn_blocking(move || {
                let mut output = String::new();
                std::io::Read::read_to_string(pod.0.stdout.as_mut().unwrap(), &mut output).unwrap();
                (pod.0.wait().unwrap(), output)
            }),
        );
        let (status, output) = status.await.unwrap();
        assert!(status.success() && output.contains("\nderegistered\nstopped\n"), "{status}: {output}");
        assert_eq!(call().await, None);
        assert!(server.ids("RATES").await.is_empty());
    });
}

#[test]
fn a_java_process_ends_with_the_test() {
    on_eureka(1, |mut world| async move { world.servers.remove(0).leave().await });
}
