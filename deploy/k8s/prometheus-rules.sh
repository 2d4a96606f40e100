#!/bin/sh
# The rules of ../prometheus/rules as PrometheusRule objects: deploy/k8s/prometheus-rules.sh | kubectl apply -f -
set -eu
for rules in "$(dirname "$0")"/../prometheus/rules/*.yml; do
    cat <<HEAD
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: market-maker-$(basename "$rules" .yml)
  namespace: market-maker
  labels: {app.kubernetes.io/part-of: market-maker}
spec:
HEAD
    sed 's/^/  /' "$rules"
done
