{{/* The file of --notifications; empty if nothing is set. Secrets are not in it: it names the files that they are mounted as. */}}
{{- define "floe.notifications" -}}
{{- $secrets := "/etc/floe-notifications/secret" }}
{{- $file := dict }}
{{- with .Values.notifications.allowedCidrs }}
{{- $_ := set $file "allowedCidrs" . }}
{{- end }}
{{- $receivers := list }}
{{- $keys := false }}
{{- range .Values.notifications.receivers }}
{{- $receiver := pick . "name" "url" }}
{{- with .urlKey }}
{{- $keys = true }}
{{- $_ := set $receiver "urlFile" (printf "%s/%s" $secrets .) }}
{{- end }}
{{- with .signingKey }}
{{- $keys = true }}
{{- $_ := set $receiver "signingKeyFile" (printf "%s/%s" $secrets .) }}
{{- end }}
{{- $headers := list }}
{{- range .headers }}
{{- $header := pick . "name" "value" }}
{{- with .valueKey }}
{{- $keys = true }}
{{- $_ := set $header "valueFile" (printf "%s/%s" $secrets .) }}
{{- end }}
{{- $headers = append $headers $header }}
{{- end }}
{{- with $headers }}
{{- $_ := set $receiver "headers" . }}
{{- end }}
{{- $receivers = append $receivers $receiver }}
{{- end }}
{{- if and $keys (not .Values.notifications.existingSecret) }}
{{- fail "notifications.existingSecret is needed: receivers name keys of it" }}
{{- end }}
{{- with $receivers }}
{{- $_ := set $file "receivers" . }}
{{- end }}
{{- with .Values.smtp }}
{{- if .host }}
{{- if not .from }}
{{- fail "smtp.from is needed: letters need a sender" }}
{{- end }}
{{- $smtp := dict "host" .host "port" .port "tls" .tls "from" .from }}
{{- if .existingSecret }}
{{- $_ := set $smtp "usernameFile" "/etc/floe-smtp/secret/username" }}
{{- $_ := set $smtp "passwordFile" "/etc/floe-smtp/secret/password" }}
{{- end }}
{{- if .caConfigMap }}
{{- $_ := set $smtp "caFile" "/etc/floe-smtp/ca/ca.crt" }}
{{- end }}
{{- $_ := set $file "smtp" $smtp }}
{{- end }}
{{- end }}
{{- if $file }}
{{- toYaml $file }}
{{- end }}
{{- end }}
