{{/*
FilterConfig: what the other values say, and over it what `config` says.
*/}}
{{- define "chaperone.filterConfig" -}}
{{- $collector := printf "chaperone-collector.%s.svc.cluster.local" .Release.Namespace -}}
{{- $issuer := dict "url" .Values.issuer.url "audiences" .Values.issuer.audiences "cluster" (printf "outbound|%d||%s" (int .Values.issuer.port) .Values.issuer.host) -}}
{{- $said := dict
  "apiVersion" "chaperone.dev/v1alpha1"
  "kind" "FilterConfig"
  "authentication" (dict "jwt" (list (dict "issuer" $issuer)))
  "credential" (dict "bearerToken" (dict "env" "CHAPERONE_UPSTREAM_TOKEN"))
  "recording" (dict
    "collector" (dict "cluster" (printf "outbound|8088||%s" $collector) "authority" $collector "token" (dict "env" "CHAPERONE_COLLECTOR_TOKEN"))
    "signingKey" (dict "env" "CHAPERONE_SIGNING_KEY"))
-}}
{{- mergeOverwrite $said (deepCopy .Values.config) | toYaml -}}
{{- end -}}
