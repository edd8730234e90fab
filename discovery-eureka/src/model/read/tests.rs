//! Responses of servers of several versions, with records registered by other clients.

use super::*;

/// More instances than any body here has.
const MAX: usize = 1000;

/// The output of a current server: `EurekaJsonJacksonCodec` of Netflix/eureka 1.10.
const FULL: &str = r#"{"applications":{"versions__delta":"1","apps__hashcode":"UP_1_","application":[
 {"name":"FOO","instance":[{
  "instanceId":"rates-7d9f4-abcde:foo:8080","hostName":"10.42.3.17","app":"FOO","ipAddr":"10.42.3.17",
  "status":"UP","overriddenStatus":"UNKNOWN",
  "port":{"$":8080,"@enabled":"true"},"securePort":{"$":443,"@enabled":"false"},"countryId":1,
  "dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},
  "leaseInfo":{"renewalIntervalInSecs":30,"durationInSecs":90,"registrationTimestamp":1457714988223,
     "lastRenewalTimestamp":1457716158319,"evictionTimestamp":0,"serviceUpTimestamp":1457714988223},
  "metadata":{"@class":"java.util.Collections$EmptyMap"},
  "homePageUrl":"http://10.42.3.17:8080/","vipAddress":"foo","secureVipAddress":"foo",
  "isCoordinatingDiscoveryServer":"false",
  "lastUpdatedTimestamp":"1457714988223","lastDirtyTimestamp":"1457714988172","actionType":"ADDED"}]}]}}"#;

#[test]
fn reads_a_current_servers_response() {
    let page = applications(FULL.as_bytes(), MAX).unwrap();
    assert_eq!(page.hash.as_deref(), Some("UP_1_"));
    let [(Action::Put, instance)] = &page.entries[..] else { panic!("{page:?}") };
    let expected = Instance {
        app: "FOO".to_owned(),
        id: "rates-7d9f4-abcde:foo:8080".to_owned(),
        host_name: "10.42.3.17".to_owned(),
        ip_addr: Some("10.42.3.17".to_owned()),
        status: Status::Up,
        port: Some(InstancePort { number: 8080, enabled: true }),
        secure_port: Some(InstancePort { number: 443, enabled: false }),
        has_port_0: false,
        vip_addresses: vec!["foo".to_owned()],
        secure_vip_addresses: vec!["foo".to_owned()],
        metadata: BTreeMap::new(),
        overridden_status: None,
        lease: Some(Lease {
            renewal_interval: Some(Duration::from_secs(30)),
            duration: Some(Duration::from_secs(90)),
            registered_at: Some(1_457_714_988_223),
            renewed_at: Some(1_457_716_158_319),
            evicted_at: None,
            up_since: Some(1_457_714_988_223),
        }),
        urls: InstanceUrls { home_page: Some("http://10.42.3.17:8080/".to_owned()), ..InstanceUrls::default() },
        data_center: Some("MyOwn".to_owned()),
        app_group: None,
        last_dirty: Some(1_457_714_988_172),
        last_updated: Some(1_457_714_988_223),
    };
    assert_eq!(*instance, expected);
}

/// Older servers, and other clients, write these fields in other shapes.
#[test]
fn reads_lease_override_and_urls_in_every_shape() {
    let read = one(r#""overriddenstatus":"OUT_OF_SERVICE","appGroupName":"SHOP","dataCenterInfo":{"name":"Amazon"},
        "leaseInfo":{"renewalIntervalInSecs":"10","durationInSecs":"30","renewalTimestamp":"7","evictionTimestamp":8},
        "statusPageUrl":"http://a/info","healthCheckUrl":"http://a/health","secureHealthCheckUrl":"https://a/health""#);
    assert_eq!(read.overridden_status, Some(Status::OutOfService));
    let lease = read.lease.unwrap();
    assert_eq!(
        (lease.renewal_interval, lease.duration),
        (Some(Duration::from_secs(10)), Some(Duration::from_secs(30)))
    );
    assert_eq!((lease.renewed_at, lease.evicted_at, lease.registered_at), (Some(7), Some(8), None));
    assert_eq!(read.urls.status_page.as_deref(), Some("http://a/info"));
    assert_eq!(read.urls.health_check.as_deref(), Some("http://a/health"));
    assert_eq!(read.urls.secure_health_check.as_deref(), Some("https://a/health"));
    assert_eq!((read.data_center.as_deref(), read.app_group.as_deref()), (Some("Amazon"), Some("SHOP")));
    for odd in
        [r#""leaseInfo":null"#, r#""leaseInfo":[]"#, r#""overriddenStatus":"UNKNOWN""#, r#""overriddenStatus":{}"#]
    {
        let read = one(odd);
        assert_eq!((read.lease, read.overridden_status), (None, None), "{odd}");
    }
    let odd = one(r#""leaseInfo":{"durationInSecs":-1,"registrationTimestamp":"soon"}"#).lease.unwrap();
    assert_eq!(odd, Lease::default());
}

#[test]
fn reads_one_application() {
    let body = br#"{"application":{"name":"FOO","instance":{"hostName":"h","status":"UP"}}}"#;
    assert_eq!(application(body, MAX).unwrap().entries[0].1.app, "FOO");
    assert!(application(br#"{"application":{"name":"FOO"}}"#, MAX).unwrap().entries.is_empty());
    assert!(application(br#"{"applications":{}}"#, MAX).is_err());
}

fn one(fields: &str) -> Instance {
    instance(format!(r#"{{"instance":{{{fields}}}}}"#).as_bytes()).unwrap()
}

#[test]
fn reads_one_object_as_a_list_of_one() {
    let xstream = r#"{"applications":{"versions__delta":1,"apps__hashcode":"UP_1_","application":
        {"name":"FOO","instance":{"hostName":"h","status":"UP"}}}}"#;
    let page = applications(xstream.as_bytes(), MAX).unwrap();
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.entries[0].1.app, "FOO");
}

#[test]
fn reads_every_form_of_an_empty_registry() {
    for body in [
        r#"{"applications":{"versions__delta":"1","apps__hashcode":"","application":[]}}"#,
        r#"{"applications":{"versions__delta":1,"apps__hashcode":null,"application":null}}"#,
        r#"{"applications":{"versions__delta":"-1","apps__hashcode":""}}"#,
        r#"{"applications":{}}"#,
        r#"{"applications":{"application":[{"name":"FOO","instance":[]},{"name":"BAR"}]}}"#,
    ] {
        assert!(applications(body.as_bytes(), MAX).unwrap().entries.is_empty(), "{body}");
    }
}

#[test]
fn rejects_other_documents() {
    for body in ["", "<applications/>", "[]", "null", r#"{"applications":null}"#, r#"{"application":{}}"#, "{\"appl"] {
        assert!(applications(body.as_bytes(), MAX).is_err(), "{body}");
    }
    assert!(instance(br#"{"applications":{}}"#).is_err());
}

#[test]
fn reads_numbers_and_booleans_written_as_text() {
    let port = |number, enabled| Some(InstancePort { number, enabled });
    assert_eq!(one(r#""port":{"$":"8080","@enabled":true}"#).port, port(8080, true));
    assert_eq!(one(r#""port":{"@enabled":"FALSE","$":8080}"#).port, port(8080, false));
    assert_eq!(one(r#""port":{"$":8080}"#).port, port(8080, true));
    assert_eq!(one(r#""securePort":{"$":8443}"#).secure_port, port(8443, false));
    assert_eq!(one(r#""port":8080"#).port, port(8080, true));
    assert_eq!(one(r#""port":"8080""#).port, port(8080, true));
    assert_eq!(one(r#""lastDirtyTimestamp":1457714988172"#).last_dirty, Some(1_457_714_988_172));
    assert_eq!(one(r#""lastDirtyTimestamp":"1457714988172""#).last_dirty, Some(1_457_714_988_172));
    assert_eq!(one(r#""lastDirtyTimestamp":"x""#).last_dirty, None);
}

#[test]
fn absent_port_stays_absent() {
    for body in ["", r#""port":null"#, r#""port":{}"#, r#""port":{"$":0}"#, r#""port":{"$":70000}"#, r#""port":[1]"#] {
        assert_eq!(one(body).port, None, "{body}");
    }
    assert_eq!(one("").secure_port, None);
}

#[test]
fn metadata_is_flat_text_without_the_java_class() {
    let read = |metadata: &str| one(&format!(r#""metadata":{metadata}"#)).metadata;
    assert!(read("null").is_empty());
    assert!(read(r#"{"@class":"java.util.Collections$EmptyMap"}"#).is_empty());
    assert!(read("[]").is_empty());
    let metadata = read(r#"{"@class":"java.util.HashMap","zone":"a","n":8081,"t":true,"nothing":null,"deep":{"x":1}}"#);
    let expected = [("n", "8081"), ("t", "true"), ("zone", "a")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(metadata, BTreeMap::from(expected));
}

#[test]
fn absent_id_falls_back_to_the_amazon_id_or_the_host_name() {
    let amazon = r#""hostName":"h","dataCenterInfo":{"@class":"x.AmazonInfo","name":"Amazon",
        "metadata":{"instance-id":"i-1","availability-zone":"us-east-1a"}}"#;
    assert_eq!(one(amazon).id, "i-1");
    assert_eq!(one(amazon).zone(), Some("us-east-1a"));
    assert_eq!(one(r#""instanceId":"","hostName":"h""#).id, "h");
    assert_eq!(one(r#""hostName":"h""#).id, "h");
    let other = r#""hostName":"h","dataCenterInfo":{"@class":"any","name":"MyOwn","metadata":{"instance-id":"i-1"}}"#;
    assert_eq!(one(other).id, "h");
    assert_eq!(one(r#""hostName":"h:8080""#).id, "h:8080");
}

#[test]
fn status_in_another_case_is_unknown() {
    for (text, status) in [
        (r#""UP""#, Status::Up),
        (r#""OUT_OF_SERVICE""#, Status::OutOfService),
        (r#""up""#, Status::Unknown),
        (r#""PAUSED""#, Status::Unknown),
        ("null", Status::Unknown),
        ("[]", Status::Unknown),
    ] {
        assert_eq!(one(&format!(r#""status":{text}"#)).status, status, "{text}");
    }
    for overridden in ["overriddenStatus", "overriddenstatus"] {
        let both = format!(r#""status":"OUT_OF_SERVICE","{overridden}":"OUT_OF_SERVICE""#);
        assert_eq!(one(&both).status, Status::OutOfService);
    }
}

#[test]
fn ignores_null_and_unknown_fields() {
    let record = one(r#""ipAddr":null,"vipAddress":null,"dataCenterInfo":null,"asgName":null,"leaseInfo":
        {"renewalTimestamp":1,"evictionDurationInSecs":{"a":[]}},"future":{"a":[1,{"b":null}]},"list":[[],{}]"#);
    let lease = Some(Lease { renewed_at: Some(1), ..Lease::default() });
    assert_eq!(record, Instance { lease, ..Instance::default() });
}

#[test]
fn splits_vips_at_commas() {
    assert_eq!(one(r#""vipAddress":"a,b, c,,""#).vip_addresses, ["a", "b", "c"]);
}

#[test]
fn falls_back_to_an_address_in_the_host_name() {
    let ip = |fields| one(fields).ip().map(|ip| ip.to_string());
    assert_eq!(ip(r#""ipAddr":"10.0.0.1","hostName":"h""#).as_deref(), Some("10.0.0.1"));
    assert_eq!(ip(r#""hostName":"10.0.0.2""#).as_deref(), Some("10.0.0.2"));
    assert_eq!(ip(r#""ipAddr":"","hostName":"[2001:db8::1]""#).as_deref(), Some("2001:db8::1"));
    assert_eq!(ip(r#""ipAddr":"unknown","hostName":"h""#), None);
}

/// A registry may be hostile, or not a registry at all.
#[test]
fn more_instances_or_texts_than_allowed_are_refused() {
    let page = |instance: &str, count: usize| {
        let instances = vec![instance; count].join(",");
        format!(r#"{{"applications":{{"application":[{{"name":"A","instance":[{instances}]}}]}}}}"#)
    };
    let read = |body: String, max: usize| match applications(body.as_bytes(), max) {
        Ok(page) => format!("{}", page.entries.len()),
        Err(ReadError::TooMany(max)) => format!("more than {max}"),
        Err(error) => panic!("{error}"),
    };
    for instance in ["{}", "0", r#"{"metadata":{"a":1,"b":2},"vipAddress":"a,b,c","secureVipAddress":"a,b,c"}"#] {
        assert_eq!(read(page(instance, 10), 10), "10");
        assert_eq!(read(page(instance, 11), 10), "more than 10");
    }
    for instance in [r#"{"vipAddress":",,,,,,,,,,,,,,,,"}"#, r#"{"secureVipAddress":",,,,,,,,,,,,,,,,"}"#] {
        assert_eq!(read(page(instance, 1), 3), "1");
        assert_eq!(read(page(instance, 1), 2), "more than 2");
    }
    let metadata: Vec<_> = (0..17).map(|key| format!(r#""{key}":"""#)).collect();
    let instance = format!(r#"{{"metadata":{{{}}}}}"#, metadata.join(","));
    assert_eq!(read(page(&instance, 1), 3), "1");
    assert_eq!(read(page(&instance, 1), 2), "more than 2");
    let error = applications(page("{}", 2).as_bytes(), 1).unwrap_err().to_string();
    assert!(error.contains("`max_instances` of 1"), "{error}");
}

/// The order of fields is not fixed, and a field that is repeated counts once.
#[test]
fn the_order_of_fields_does_not_matter() {
    let body = r#"{"applications":{"application":[
        {"instance":[{"instanceId":"old"}],"instance":[{"instanceId":"1","app":"X"},{"instanceId":"2"}],"name":"A"},
        {"instance":{"instanceId":"3","app":"B"}}],"apps__hashcode":"UP_3_","future":[[{}]]},"more":{"a":[1]}}"#;
    let page = applications(body.as_bytes(), MAX).unwrap();
    assert_eq!(page.hash.as_deref(), Some("UP_3_"));
    let found: Vec<_> = page.entries.iter().map(|(_, instance)| format!("{}/{}", instance.app, instance.id)).collect();
    assert_eq!(found, ["A/1", "A/2", "B/3"]);
}

mod any {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::{super::*, MAX};

    /// Any JSON whose keys include the names that the reader looks for.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            prop_oneof![Just("UP"), Just("true"), Just("8080"), Just("Amazon"), Just("DELETED"), Just("")]
                .prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        let key = prop_oneof![
            Just("instance"),
            Just("name"),
            Just("application"),
            Just("instanceId"),
            Just("hostName"),
            Just("ipAddr"),
            Just("status"),
            Just("port"),
            Just("securePort"),
            Just("$"),
            Just("@enabled"),
            Just("dataCenterInfo"),
            Just("metadata"),
            Just("vipAddress"),
            Just("lastDirtyTimestamp"),
            Just("actionType"),
            Just("apps__hashcode"),
        ];
        leaf.prop_recursive(5, 64, 6, move |inner| {
            let object = proptest::collection::vec((key.clone(), inner.clone()), 0..6);
            let object = object.prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
            });
            prop_oneof![proptest::collection::vec(inner, 0..4).prop_map(Value::from), object]
        })
    }

    proptest! {
        /// A field of an unexpected shape counts as absent: it affects neither the rest of its record nor other
        /// records.
        #[test]
        fn malformed_record_leaves_other_records_intact(strange in any_json(), app in any_json()) {
            let good = json!({"instanceId": "good", "ipAddr": "10.0.0.1", "status": "UP", "port": {"$": 1, "@enabled": "true"}});
            let body = json!({"applications": {"application": [app, {"name": "A", "instance": [strange, good]}]}}).to_string();
            let page = applications(body.as_bytes(), MAX).unwrap();
            let (action, last) = page.entries.last().unwrap();
            prop_assert_eq!((*action, last.id.as_str(), last.status), (Action::Put, "good", Status::Up));
            prop_assert!(page.entries.iter().all(|(_, i)| i.port.is_none_or(|port| port.number != 0)));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (applications(&bytes, MAX).is_ok(), instance(&bytes).is_ok());
        }
    }
}
