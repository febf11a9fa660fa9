"""The dashboards as code: panels.py knows Grafana, parts.py what several boards show, the others one board each."""
