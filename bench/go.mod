module github.com/weft-net/weft/bench

go 1.26.8

require (
	github.com/coder/websocket v1.8.15
	github.com/weft-net/weft v0.0.0
)

require (
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	golang.org/x/time v0.16.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/weft-net/weft => ../
