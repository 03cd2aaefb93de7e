//! End to end: stock Envoy with the built filter, real kubectl, and a real kube-apiserver where there is one.

use chaperone_test_harness::kube::Assets;
use chaperone_test_harness::stage::{ApiKind, Stage};

#[tokio::test]
async fn smoke() {
    let stage = Stage::builder(ApiKind::Kube(Assets::find().unwrap())).start().await.unwrap();
    let token = stage.issuer.mint(&stage.agent("alice", "s1"));
    let kubectl = stage.kubectl("agent", Some(&token)).unwrap();
    for args in ["get namespaces", "create secret generic s --from-literal=password=hunter2hunter2", "get secret s -o yaml",
      "get secrets", "create configmap c --from-literal=a=b", "delete namespace kube-public --wait=false"] {
        println!("{args}: {:?}", kubectl.run(args).await.unwrap());
    }
    println!("{}", stage.collector.run(&["sessions"]).await.unwrap());
    println!("{}", stage.collector.run(&["replay", "s1"]).await.unwrap());
    println!("{}", stage.collector.verify().await.unwrap());
    stage.stop().await.unwrap();
}
