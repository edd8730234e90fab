use std::net::Ipv4Addr;

use super::*;

/// The record of `rates-0` at 10.0.0.1:8080.
pub(in crate::registration) fn record(renewal: Duration, lease: Duration) -> Record {
    let settings = RecordSettings {
        app: "rates".to_owned(),
        host_name: None,
        instance_id: None,
        port: Some(8080),
        secure_port: None,
        vip: None,
        secure_vip: None,
        home_page: "/".to_owned(),
        status_page: None,
        health_check: None,
        secure_health_check: None,
        metadata: BTreeMap::new(),
        renewal,
        lease,
    };
    let environment = [("POD_NAME", "rates-0")].into_iter().collect();
    settings.into_record(Ipv4Addr::new(10, 0, 0, 1).into(), &environment).unwrap()
}

#[test]
fn json_is_exactly_what_every_server_accepts() {
    let mut record = record(Duration::from_secs(30), Duration::from_secs(90));
    record.set_metadata("kubernetes.pod", None);
    record.set_metadata("zone", Some("a".to_owned()));
    let expected = concat!(
        r#"{"instance":{"instanceId":"rates-0:rates:8080:10.0.0.1","hostName":"10.0.0.1","app":"RATES","#,
        r#""ipAddr":"10.0.0.1","status":"UP","overriddenstatus":"UNKNOWN","#,
        r#""port":{"$":8080,"@enabled":"true"},"securePort":{"$":443,"@enabled":"false"},"countryId":1,"#,
        r#""dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},"#,
        r#""leaseInfo":{"renewalIntervalInSecs":30,"durationInSecs":90},"metadata":{"zone":"a"},"#,
        r#""homePageUrl":"http://10.0.0.1:8080/","vipAddress":"rates","secureVipAddress":"rates","#,
        r#""isCoordinatingDiscoveryServer":"false","lastUpdatedTimestamp":"1457714988172","#,
        r#""lastDirtyTimestamp":"1457714988172"}}"#,
    );
    let json = record.to_json(Status::Up, 1_457_714_988_172);
    assert_eq!(String::from_utf8(json).unwrap(), expected);
}
