//! `Channel` with real gRPC servers on loopback. The service is that of health checks, whose code is generated already.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use discovery_testing::{Behavior, FakePod, ManualHandle, ManualSource};
use discovery_tonic::{Channel, ChannelBuilder, Environment, Resolver};
use http::Response;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Status, transport::Server};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

type BoxError = Box<dyn Error + Send + Sync>;

/// A gRPC server.
struct Pod {
    addr: String,
    shut_down: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Pod {
    async fn start() -> Result<Self, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?.to_string();
        let (_, health) = tonic_health::server::health_reporter();
        let (shut_down, shutting_down) = oneshot::channel();
        let serving = Server::builder().add_service(health).serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            async {
                let _ = shutting_down.await;
            },
        );
        let task = tokio::spawn(async move { drop(serving.await) });
        Ok(Self { addr, shut_down: Some(shut_down), task })
    }

    /// Sends GOAWAY, and ends when the calls in flight have ended.
    fn stop(&mut self) {
        drop(self.shut_down.take());
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server that answers every call with a status and nothing else.
async fn trailers_only(headers: &'static [(&'static str, &'static str)]) -> Result<FakePod, BoxError> {
    let respond = move |_| {
        let mut response = Response::new(Bytes::new());
        for (name, value) in [("content-type", "application/grpc")].iter().chain(headers) {
            response.headers_mut().insert(*name, http::HeaderValue::from_static(value));
        }
        response
    };
    Ok(FakePod::with_handler("unavailable", respond).await?)
}

fn resolver() -> Result<(Resolver, ManualHandle), BoxError> {
    let (source, handle) = ManualSource::new();
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build()?;
    Ok((resolver, handle))
}

fn channel<'a>(
    addrs: impl IntoIterator<Item = &'a str>,
    configure: impl FnOnce(ChannelBuilder) -> ChannelBuilder,
) -> Result<(Channel, ManualHandle), BoxError> {
    let (resolver, handle) = resolver()?;
    handle.set(addrs);
    let channel = configure(Channel::builder(resolver.upstream("http://rates")?)).build()?;
    Ok((channel, handle))
}

async fn check(channel: &Channel) -> Result<(), Status> {
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.map(drop)
}

async fn check_within(channel: &Channel, timeout: Duration) -> Result<(), Status> {
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(timeout);
    HealthClient::new(channel.clone()).check(request).await.map(drop)
}

#[tokio::test]
async fn no_call_fails_while_one_of_four_pods_is_dead() -> Result<(), BoxError> {
    let pods = [Pod::start().await?, Pod::start().await?, Pod::start().await?];
    let dead = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
    let addrs = pods.iter().map(|pod| pod.addr.as_str()).chain([dead.as_str()]);
    let (channel, _handle) = channel(addrs, |builder| builder)?;
    for at in 0..400 {
        check(&channel).await.map_err(|status| format!("call {at}: {status}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn calls_go_elsewhere_when_a_pod_answers_unavailable() -> Result<(), BoxError> {
    let pods = [Pod::start().await?, Pod::start().await?, Pod::start().await?];
    let failing = trailers_only(&[("grpc-status", "14")]).await?;
    let addr = failing.addr().to_string();
    let addrs = || pods.iter().map(|pod| pod.addr.as_str()).chain([addr.as_str()]);
    let (retrying, _handle) = channel(addrs(), |builder| builder)?;
    for at in 0..400 {
        check(&retrying).await.map_err(|status| format!("call {at}: {status}"))?;
    }
    assert!((1..=4).contains(&failing.requests()), "{} of 400 calls", failing.requests());

    let (once, _handle) = channel(addrs(), |builder| builder.retry_unavailable(false))?;
    let mut failed = 0;
    for _ in 0..400 {
        failed += usize::from(check(&once).await.is_err_and(|status| status.code() == Code::Unavailable));
    }
    assert!((1..=4).contains(&failed), "{failed} of 400 calls");
    Ok(())
}

#[tokio::test]
async fn the_status_of_the_server_is_the_result_when_there_is_no_other_pod() -> Result<(), BoxError> {
    let failing = trailers_only(&[("grpc-status", "14"), ("grpc-message", "no%20quota"), ("x-detail", "a")]).await?;
    let (channel, _handle) = channel([failing.addr().to_string().as_str()], |builder| builder)?;
    let status = check(&channel).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "no quota"));
    assert!(status.metadata().get("x-detail").is_some());
    Ok(())
}

/// gRFC A6: a negative value asks for no retry.
#[tokio::test]
async fn a_server_can_ask_for_no_retry() -> Result<(), BoxError> {
    let headers: &[_] = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1")];
    let pods = [trailers_only(headers).await?, trailers_only(headers).await?];
    let addrs = pods.iter().map(|pod| pod.addr().to_string()).collect::<Vec<_>>();
    let (channel, _handle) = channel(addrs.iter().map(String::as_str), |builder| builder)?;
    assert_eq!(check(&channel).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(pods[0].requests() + pods[1].requests(), 1);
    Ok(())
}

/// gRFC A6: the delay that the server asks for, unless the deadline is sooner.
#[tokio::test]
async fn a_server_can_delay_the_retry() -> Result<(), BoxError> {
    let pod = Pod::start().await?;
    let busy = trailers_only(&[("grpc-status", "14"), ("grpc-retry-pushback-ms", "400")]).await?;
    let addrs = [busy.addr().to_string(), pod.addr.clone()];
    let (retrying, _handle) = channel(addrs.iter().map(String::as_str), |builder| builder)?;
    let mut slowest = Duration::ZERO;
    while busy.requests() == 0 {
        let begun = Instant::now();
        check(&retrying).await?;
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest >= Duration::from_millis(400), "{slowest:?}");

    let later = trailers_only(&[("grpc-status", "14"), ("grpc-retry-pushback-ms", "3600000")]).await?;
    let addrs = [later.addr().to_string(), pod.addr.clone()];
    let (limited, _handle) = channel(addrs.iter().map(String::as_str), |builder| builder)?;
    let mut last = Ok(());
    while later.requests() == 0 {
        last = check_within(&limited, Duration::from_secs(60)).await;
    }
    assert_eq!(last.unwrap_err().code(), Code::Unavailable, "at once: the deadline is sooner than the retry");
    Ok(())
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_names_the_target() -> Result<(), BoxError> {
    let pod = trailers_only(&[("grpc-status", "0")]).await?;
    pod.set_behavior(Behavior::Hanging);
    let (channel, _handle) = channel([pod.addr().to_string().as_str()], |builder| builder)?;
    let status = check_within(&channel, Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(status.message().contains("http://rates"), "{status}");
    assert_eq!(pod.requests(), 1);
    Ok(())
}

#[tokio::test]
async fn a_call_without_a_pod_fails_or_waits_for_one() -> Result<(), BoxError> {
    let dead = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
    let (failing, _handle) = channel([dead.as_str()], |builder| builder)?;
    let status = check(&failing).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("rates") && status.message().contains(&dead), "{status}");

    let (waiting, handle) = channel([dead.as_str()], |builder| builder.wait_for_ready(true))?;
    let call = tokio::spawn(async move { check_within(&waiting, Duration::from_secs(30)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!call.is_finished());
    let pod = Pod::start().await?;
    handle.set([pod.addr.as_str()]);
    call.await??;
    Ok(())
}

/// Servers that shut down send GOAWAY, and finish what they have.
#[tokio::test]
async fn no_unary_call_is_lost_while_pods_roll() -> Result<(), BoxError> {
    let mut pods = vec![Pod::start().await?, Pod::start().await?];
    let (channel, handle) = channel(pods.iter().map(|pod| pod.addr.as_str()), |builder| builder)?;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move {
                for _ in 0..500 {
                    check(&channel).await?;
                }
                Ok::<_, Status>(())
            })
        })
        .collect();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        pods.push(Pod::start().await?);
        // The set is late, as DNS is.
        pods[0].stop();
        tokio::time::sleep(Duration::from_millis(20)).await;
        handle.set(pods[1..].iter().map(|pod| pod.addr.as_str()));
        pods.remove(0);
    }
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_is_in_flight_until_it_is_dropped() -> Result<(), BoxError> {
    let pod = Pod::start().await?;
    let (channel, _handle) = channel([pod.addr.as_str()], |builder| builder)?;
    let mut client = HealthClient::new(channel.clone());
    let mut watching = client.watch(HealthCheckRequest::default()).await?.into_inner();
    watching.message().await?;
    let in_flight = || channel.upstream().pick().map(|pick| pick.loaded_endpoint().load().in_flight() - 1);
    assert_eq!(in_flight()?, 1);
    drop(watching);
    assert_eq!(in_flight()?, 0);
    Ok(())
}

#[tokio::test]
async fn a_wrong_setting_is_an_error_of_the_builder() -> Result<(), BoxError> {
    let (resolver, _handle) = resolver()?;
    for (target, part) in [("https://rates", "tls"), ("redis://rates", "`redis`")] {
        let error = Channel::new(&resolver, target).unwrap_err();
        assert!(error.is_config() && error.to_string().contains(part), "{target}: {error}");
    }
    let upstream = resolver.upstream("http://rates")?;
    let error = Channel::builder(upstream).endpoint(|endpoint| endpoint.user_agent("a\nb")).build().unwrap_err();
    assert!(error.is_config() && error.to_string().contains("user agent"), "{error}");
    Ok(())
}
