# etcd and the API server: all that a test needs that plays the rest of the cluster itself. Sourced by `up`.

# Ports are a block of ten. The lock is held until etcd listens, so that two clusters that start at once choose two blocks.
choose_ports() {
    if [[ -f $state/port ]]; then
        port=$(<"$state/port")
        return
    fi
    local tries=50 n taken
    while ((tries-- > 0)); do
        port=$((20000 + RANDOM % 1000 * 10))
        taken=no
        for n in {0..9}; do is_listening $((port + n)) && taken=yes; done
        if [[ $taken == no ]]; then
            echo "$port" | write_file "$state/port"
            return
        fi
    done
    fail "found no ten free ports between 20000 and 30000"
}

start_etcd() {
    local client peer
    exec 9>"${TMPDIR:-/tmp}/floe-e2e-ports.lock"
    flock 9
    choose_ports
    client=http://127.0.0.1:$port
    peer=http://127.0.0.1:$((port + 1))
    start etcd "$bin/etcd" --data-dir "$state/etcd" --logger zap --log-level warn \
        --listen-client-urls "$client" --advertise-client-urls "$client" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
    wait_for 30 etcd "answer of etcd" is_listening "$port"
    exec 9>&-
}

# Each component is known by its own name, so that the log of requests tells them from users.
make_credentials() {
    mkdir -p "$state/pki"
    [[ -f $state/pki/service-account.key ]] || (umask 077 && openssl genrsa -out "$state/pki/service-account.key" 2048 2>/dev/null)
    [[ -f $state/pki/tokens.csv ]] || (umask 077 && write_file "$state/pki/tokens.csv") <<CSV
$(new_token),admin,admin,system:masters
$(new_token),system:kube-controller-manager,controllers
$(new_token),system:kube-scheduler,scheduler
$(new_token),system:kube-proxy,proxy
$(new_token),system:node:floe-e2e,kubelet,system:nodes
CSV
}

new_token() { openssl rand -hex 16; }

# token_of UID: the third column.
token_of() { awk -F, -v uid="$1" '$3 == uid { print $1 }' "$state/pki/tokens.csv"; }

# start_apiserver ADDRESS FLAGS…
start_apiserver() {
    local address=$1
    shift
    make_credentials
    start kube-apiserver "$bin/kube-apiserver" \
        --etcd-servers "http://127.0.0.1:$port" --bind-address "$address" --secure-port $((port + 2)) --cert-dir "$state/pki" \
        --service-cluster-ip-range "$service_network" --authorization-mode Node,RBAC --allow-privileged \
        --enable-admission-plugins OwnerReferencesPermissionEnforcement \
        --token-auth-file "$state/pki/tokens.csv" \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-signing-key-file "$state/pki/service-account.key" --service-account-key-file "$state/pki/service-account.key" \
        --audit-policy-file "$here/config/audit-policy.yaml" --audit-log-path "$state/log/audit.jsonl" \
        --shutdown-delay-duration 0s "$@"
    server=https://$address:$((port + 2))
    # A bare connection first: the certificate is written before it.
    wait_for 60 kube-apiserver "listening API server" is_listening $((port + 2))
    write_kubeconfig admin "$state/kubeconfig"
    # Who became root only to start the cluster uses it as before.
    [[ -z ${SUDO_UID-} ]] || chown "$SUDO_UID" "$state/kubeconfig"
    local component
    for component in controllers scheduler proxy kubelet; do write_kubeconfig "$component" "$state/pki/$component.kubeconfig"; done
    wait_for 60 kube-apiserver "ready API server" api_is_ready
}

api_is_ready() {
    curl --silent --fail --max-time 5 --cacert "$state/pki/apiserver.crt" --header "Authorization: Bearer $(token_of admin)" "$server/readyz"
}

# write_kubeconfig UID FILE
write_kubeconfig() {
    (umask 077 && write_file "$2") <<YAML
apiVersion: v1
kind: Config
current-context: floe-e2e
contexts: [{name: floe-e2e, context: {cluster: floe-e2e, user: $1}}]
clusters:
  - name: floe-e2e
    cluster:
      server: $server
      certificate-authority-data: $(base64 -w0 "$state/pki/apiserver.crt")
users: [{name: $1, user: {token: $(token_of "$1")}}]
YAML
}

# start_controllers FLAGS…: the chosen ones only, all without a choice.
start_controllers() {
    start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$state/pki/controllers.kubeconfig" \
        --authentication-kubeconfig "$state/pki/controllers.kubeconfig" --authorization-kubeconfig "$state/pki/controllers.kubeconfig" \
        --bind-address 127.0.0.1 --secure-port $((port + 3)) --cert-dir "$state/pki/controllers" --leader-elect=false \
        --root-ca-file "$state/pki/apiserver.crt" --service-account-private-key-file "$state/pki/service-account.key" \
        --use-service-account-credentials "$@"
    wait_for 60 kube-controller-manager "ready controller manager" controllers_are_ready
}

controllers_are_ready() { curl --silent --fail --insecure --max-time 5 "https://127.0.0.1:$((port + 3))/healthz"; }
