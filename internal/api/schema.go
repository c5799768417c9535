package api

import (
	"fmt"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/graphjson"
)

// nodeNeeds lists what nodes of a type need beside a Type.
func nodeNeeds(kind string) []string {
	switch kind {
	case "netns":
		return []string{"Name", "Path"}
	case "ovsport":
		return []string{"Name", "UUID"}
	}
	return []string{"Name"}
}

// maxID bounds identifiers.
const maxID = 1024

func checkNode(e *graphjson.Element) error {
	if err := checkID("ID", e.ID); err != nil {
		return err
	}
	if err := checkMetadata(e.Metadata, []string{"Type"}); err != nil {
		return err
	}
	kind, _ := e.Metadata.Get("Type")
	return checkMetadata(e.Metadata, nodeNeeds(kind.Str()))
}

func checkEdge(e *graphjson.Element) error {
	for _, field := range []struct{ name, id string }{{"ID", e.ID}, {"Parent", e.Parent}, {"Child", e.Child}} {
		if err := checkID(field.name, field.id); err != nil {
			return err
		}
	}
	return checkMetadata(e.Metadata, []string{"RelationType"})
}

func checkID(field, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%s is missing", field)
	case len(id) > maxID:
		return fmt.Errorf("%s is longer than %d bytes", field, maxID)
	}
	return nil
}

func checkMetadata(m graph.Metadata, needs []string) error {
	for _, key := range needs {
		v, ok := m.Get(key)
		if !ok {
			return fmt.Errorf("Metadata.%s is missing", key)
		}
		if v.Kind() != graph.KindString || v.Str() == "" {
			return fmt.Errorf("Metadata.%s must be a string that is not empty", key)
		}
	}
	return nil
}
