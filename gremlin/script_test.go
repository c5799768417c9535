package gremlin_test

import (
	"os"
	"testing"

	"github.com/weft-net/weft/gremlin/gremlintest"
)

// TestScripts runs testdata/*.script, now and against the past.
func TestScripts(t *testing.T) {
	gremlintest.Run(t, os.DirFS("testdata"))
}
