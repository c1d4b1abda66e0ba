module github.com/aegis-sidecar/aegis/clients/go/behaviours

go 1.25.0

require (
	github.com/aegis-sidecar/aegis/clients/go v0.0.0
	github.com/modelcontextprotocol/go-sdk v1.8.0
	google.golang.org/grpc v1.84.0
)

require (
	github.com/google/jsonschema-go v0.4.3 // indirect
	github.com/segmentio/asm v1.1.3 // indirect
	github.com/segmentio/encoding v0.5.4 // indirect
	github.com/yosida95/uritemplate/v3 v3.0.2 // indirect
	golang.org/x/oauth2 v0.36.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

require (
	github.com/aegis-sidecar/aegis/clients/go/aegismcp v0.0.0
	go.yaml.in/yaml/v3 v3.0.6
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.40.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260706201446-f0a921348800 // indirect
	google.golang.org/protobuf v1.36.12
)

replace github.com/aegis-sidecar/aegis/clients/go => ../

replace github.com/aegis-sidecar/aegis/clients/go/aegismcp => ../aegismcp
