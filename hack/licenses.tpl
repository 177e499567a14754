# Licenses

The modules that are compiled into `cip` and `cip-auditor`, with their licenses. `make licenses` writes this page and
fails on a license that does not allow the binaries to be distributed; CI runs it. Releases contain the texts.

| package | version | license |
|---|---|---|
{{range . -}}
| {{.Name}} | {{.Version}} | {{.LicenseName}} |
{{end -}}
