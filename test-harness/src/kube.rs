//! A real kube-apiserver with its etcd.
