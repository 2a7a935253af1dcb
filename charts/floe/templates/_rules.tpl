{{/* What the operator may do in the namespaces that it watches. Each rule says why. */}}
{{- define "floe.operatorRules" -}}
# The definitions, their updates and runs are cached, and read anew where a decision must not rest on an old view.
- apiGroups: [floe.dev]
  resources: [pipelines, tables, jobs, pipelineupdates, jobruns]
  verbs: [get, list, watch]
# The operator is the only writer of status.
- apiGroups: [floe.dev]
  resources: [pipelines/status, tables/status, jobs/status, pipelineupdates/status, jobruns/status]
  verbs: [patch]
# A dataset that is declared in SQL gets a Table object.
- apiGroups: [floe.dev]
  resources: [tables]
  verbs: [create, patch, delete]
# Changes and schedules create updates, a successor cancels one, the history limit removes them.
- apiGroups: [floe.dev]
  resources: [pipelineupdates]
  verbs: [create, patch, delete]
# Triggers, tasks and backfills create runs, a canceled run cancels those it made, a finalizer sees to that, the history limit removes them.
- apiGroups: [floe.dev]
  resources: [jobruns]
  verbs: [create, patch, delete]
# What runners report is cached; the report of an attempt goes with its batch Job.
- apiGroups: [floe.dev]
  resources: [runreports]
  verbs: [list, watch, delete]
# Finalizers of the deletion policy Delete are part of the object ...
- apiGroups: [floe.dev]
  resources: [pipelines]
  verbs: [patch]
# ... and an owner reference that blocks the deletion of its owner needs the right to set them.
- apiGroups: [floe.dev]
  resources: [pipelines/finalizers, pipelineupdates/finalizers, jobs/finalizers, jobruns/finalizers]
  verbs: [update]
# One batch Job for each attempt of an update or a task.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
# One watcher for each job whose triggers look at folders or at tables of others.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# Exit codes and the reasons of waiting are read from pods; an immediate cancel deletes one.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, delete]
# Sources of pipelines and SQL of tasks are read, requests of runners and what runs took of their Job are written.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, delete]
# Each pipeline and each job runs under an account of its own ...
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, create, patch]
# ... which may write reports ...
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  verbs: [get, create, patch]
# ... by this role and no other.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [floe-runner]
  verbs: [bind]
# A continuous pipeline may ask not to be disturbed.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, patch, delete]
# Transitions become Events.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Why the API server refuses a pod, the Job controller tells in Events only.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
{{- end }}
