# The rest of a cluster: controllers, scheduler, and this machine as its only node. Sourced by `up` and `down`; needs root.

node=floe-e2e
bridge=floe-e2e0
# The bridge has this address; API server and kubelet listen on nothing else, so nothing is open to other machines.
node_address=10.231.0.1
pod_network=10.231.0.0/16
containerd_socket=$state/containerd.sock

containers() { "$bin/ctr" --address "$containerd_socket" --namespace k8s.io "$@"; }

api() { "$bin/kubectl" --kubeconfig "$state/kubeconfig" "$@"; }

make_network() {
    if [[ ! -d $state/cni ]] && ip link show "$bridge" >/dev/null 2>&1; then
        fail "another cluster runs on this machine and has the bridge $bridge; stop it with $here/down --state ITS-DIRECTORY"
    fi
    sysctl -q -w net.ipv4.ip_forward=1
    ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
    ip address replace "$node_address/16" dev "$bridge"
    ip link set "$bridge" up

    mkdir -p "$state/cni"
    write_file "$state/cni/10-bridge.conflist" <<JSON
{
  "cniVersion": "0.4.0",
  "name": "$bridge",
  "plugins": [
    {
      "type": "bridge", "bridge": "$bridge", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local", "dataDir": "$state/cni/addresses",
        "ranges": [[{"subnet": "$pod_network", "gateway": "$node_address"}]], "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
JSON
}

start_containerd() {
    local snapshotter=overlayfs
    mkdir -p "$state/containerd"
    # An overlay does not stand on another one.
    [[ $(stat -f -c %T "$state") != overlayfs ]] || snapshotter=native
    write_file "$state/containerd.toml" <<TOML
version = 2
root = "$state/containerd/root"
state = "$state/containerd/run"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = "$containerd_socket"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:e2e"
  # Without the right to lower the score a sandbox would not start.
  restrict_oom_score_adj = true
  # So that no mount is left outside the state directory.
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
TOML
    start containerd "$bin/containerd" --config "$state/containerd.toml"
    wait_for 30 containerd "answer of containerd" containers version
    [[ -n $(containers images list --quiet name==localhost/pause:e2e) ]] || "$here/image" --state "$state" pause
}

start_scheduler() {
    start kube-scheduler "$bin/kube-scheduler" --kubeconfig "$state/pki/scheduler.kubeconfig" \
        --authentication-kubeconfig "$state/pki/scheduler.kubeconfig" --authorization-kubeconfig "$state/pki/scheduler.kubeconfig" \
        --bind-address 127.0.0.1 --secure-port $((port + 4)) --cert-dir "$state/pki/scheduler" --leader-elect=false
}

start_kubelet() {
    write_file "$state/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_address
port: $((port + 5))
healthzBindAddress: 127.0.0.1
healthzPort: $((port + 6))
# The API server asks for logs and opens shells; nothing else can reach the address.
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://$containerd_socket
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
enforceNodeAllocatable: []
# The disk of a test machine is full of builds; images are brought by hand and never fetched again.
evictionHard: {memory.available: 100Mi, nodefs.available: 100Mi, nodefs.inodesFree: 1%, imagefs.available: 100Mi}
imageGCHighThresholdPercent: 100
maxPods: 250
podLogsDir: $state/log/pods
volumePluginDir: $state/kubelet/volume-plugins
resolvConf: ""
YAML
    start kubelet "$bin/kubelet" --config "$state/kubelet.yaml" --kubeconfig "$state/pki/kubelet.kubeconfig" \
        --hostname-override "$node" --node-ip "$node_address" --root-dir "$state/kubelet" --cert-dir "$state/pki/kubelet"
}

start_proxy() {
    write_file "$state/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $state/pki/proxy.kubeconfig}
hostnameOverride: $node
clusterCIDR: $pod_network
mode: iptables
# Between two pods on the bridge only an address that was replaced on the way there is replaced on the way back.
iptables: {masqueradeAll: true, localhostNodePorts: false}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
metricsBindAddress: 127.0.0.1:$((port + 7))
healthzBindAddress: 127.0.0.1:$((port + 8))
oomScoreAdj: 0
YAML
    start kube-proxy "$bin/kube-proxy" --config "$state/proxy.yaml"
    wait_for 60 kube-proxy "ready proxy" curl --silent --fail --max-time 5 "http://127.0.0.1:$((port + 8))/healthz"
}

node_is_ready() {
    [[ $(api get node "$node" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}') == True ]] &&
        api get serviceaccount default --namespace default
}

# Claims without a class get one of these directories, in any access mode; a used one is emptied at the next `up`.
make_volumes() {
    local n name
    api apply --server-side -f "$here/config/storage-class.yaml" >/dev/null
    for name in $(api get pv -o jsonpath='{.items[?(@.status.phase=="Released")].metadata.name}'); do
        api delete pv "$name" >/dev/null
        rm -rf "$state/volumes/$name"
    done
    for n in {01..40}; do
        name=floe-e2e-$n
        mkdir -p -m 0777 "$state/volumes/$name"
        sed -e "s|NAME|$name|" -e "s|DIRECTORY|$state/volumes/$name|" -e "s|NODE|$node|" "$here/config/volume.yaml"
    done | api apply --server-side -f - >/dev/null
}

start_node() {
    make_network
    start_apiserver "$node_address" --advertise-address "$node_address" --kubelet-preferred-address-types InternalIP
    start_containerd
    start_controllers
    start_scheduler
    start_kubelet
    start_proxy
    wait_for 60 kubelet "ready node" node_is_ready
    api uncordon "$node" >/dev/null
    make_volumes
}

# Kubelet ends the pods, as it takes their network and mounts away too. Jobs make new ones, which find no node.
end_pods() {
    is_running kubelet && is_running kube-apiserver && is_running containerd || return 0
    api cordon "$node" >/dev/null 2>&1 || return 0
    api delete pods --all --all-namespaces --grace-period=1 --wait=false >/dev/null 2>&1 || return 0
    local tenths=300
    while [[ -n $(containers tasks list --quiet) ]] && ((tenths-- > 0)); do sleep 0.1; done
}

stop_node() {
    end_pods
    stop kubelet
    stop kube-proxy
    stop kube-scheduler
    stop kube-controller-manager
    end_containers
    stop containerd
    [[ ! -f $state/proxy.yaml ]] || "$bin/kube-proxy" --cleanup --config "$state/proxy.yaml" >>"$state/log/kube-proxy.log" 2>&1 || true
    local mount link
    tac /proc/self/mounts | cut -d' ' -f2 | while read -r mount; do
        [[ $mount != "$state"/* ]] || umount "$mount" || umount --lazy "$mount"
    done
    for link in /var/log/containers/*; do
        [[ $(readlink "$link") != "$state"/* ]] || rm -f "$link"
    done
    ip link delete "$bridge" 2>/dev/null || true
}

# What kubelet left. A shim is ours when it talks to our containerd.
end_containers() {
    is_running containerd || return 0
    local task shim
    for task in $(containers tasks list --quiet); do
        containers tasks delete --force "$task" >/dev/null 2>&1 || true
    done
    for shim in $(pgrep -x containerd-shim || true); do
        if tr '\0' '\n' <"/proc/$shim/cmdline" | grep -qxF "$containerd_socket"; then kill -9 "$shim" || true; fi
    done
}
