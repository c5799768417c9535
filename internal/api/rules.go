package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/skydive"
)

// rules are node rules or edge rules: validated here, kept in the store, executed by
// whoever watches the store.
type rules struct {
	kind  resourceKind
	store Store
}

func openRules(s *Server, k resourceKind) resource { return &rules{kind: k, store: s.deps.Store} }

// rule is what the two types have in common.
type rule interface {
	*skydive.NodeRule | *skydive.EdgeRule
}

// check decodes a rule, sees to it that it can be executed, and gives it its id.
func (k *rules) check(body []byte, id string) (string, []byte, error) {
	if k.kind.kind == KindNodeRule {
		return checkRule(body, id, new(skydive.NodeRule), func(r *skydive.NodeRule) *string { return &r.UUID }, checkNodeRule)
	}
	return checkRule(body, id, new(skydive.EdgeRule), func(r *skydive.EdgeRule) *string { return &r.UUID }, checkEdgeRule)
}

func checkRule[T rule](body []byte, id string, into T, idOf func(T) *string, valid func(T) error) (string, []byte, error) {
	if err := decodeBody(body, into); err != nil {
		return "", nil, err
	}
	own := idOf(into)
	switch {
	case id != "":
		*own = id
	case *own == "":
		*own = uuid.NewString()
	}
	if err := valid(into); err != nil {
		return "", nil, failf(http.StatusBadRequest, "invalid schema: %w", err)
	}
	text, err := json.Marshal(into, json.Deterministic(true))
	if err != nil {
		return "", nil, fmt.Errorf("rule: %w", err)
	}
	return *own, text, nil
}

func checkNodeRule(r *skydive.NodeRule) error {
	if len(r.Metadata) == 0 {
		return fmt.Errorf("Metadata is empty: give the keys that the rule sets")
	}
	switch r.Action {
	case skydive.NodeRuleCreate:
		for _, key := range []string{skydive.KeyName, skydive.KeyType} {
			if text, ok := r.Metadata[key].(string); !ok || text == "" {
				return fmt.Errorf("Metadata.%s is missing: the node that is created needs it", key)
			}
		}
		return nil
	case skydive.NodeRuleUpdate:
		return checkQuery("Query", r.Query)
	}
	return fmt.Errorf("Action is %q: use %q or %q", r.Action, skydive.NodeRuleCreate, skydive.NodeRuleUpdate)
}

func checkEdgeRule(r *skydive.EdgeRule) error {
	if err := checkQuery("Src", r.Src); err != nil {
		return err
	}
	if err := checkQuery("Dst", r.Dst); err != nil {
		return err
	}
	if text, ok := r.Metadata[skydive.KeyRelationType].(string); !ok || text == "" {
		return fmt.Errorf("Metadata.%s is missing: use %q, %q or a word of your own", skydive.KeyRelationType, skydive.RelationOwnership, skydive.RelationLayer2)
	}
	return nil
}

func checkQuery(field, text string) error {
	if text == "" {
		return fmt.Errorf("%s is missing: give a Gremlin expression such as G.V().Has('Name', 'eth0')", field)
	}
	query, err := gremlin.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	if kind := query.Kind(); kind != gremlin.KindNodes && kind != gremlin.KindGraph {
		return fmt.Errorf("%s gives %s: a rule needs an expression that gives nodes, such as G.V().Has('Name', 'eth0')", field, kind)
	}
	return nil
}

func (k *rules) list(ctx context.Context, w http.ResponseWriter) error {
	all, err := k.store.List(ctx, k.kind.kind)
	if err != nil {
		return err
	}
	text := []byte{'{'}
	for i, id := range slices.Sorted(maps.Keys(all)) {
		if i > 0 {
			text = append(text, ',')
		}
		if text, err = jsontext.AppendQuote(text, id); err != nil {
			return fmt.Errorf("id %q: %w", id, err)
		}
		text = append(append(text, ':'), all[id]...)
	}
	_, err = w.Write(append(text, "}\n"...))
	return err
}

func (k *rules) get(ctx context.Context, id string) ([]byte, error) {
	return k.store.Get(ctx, k.kind.kind, id)
}

func (k *rules) create(ctx context.Context, body []byte, ttl time.Duration) ([]byte, error) {
	id, text, err := k.check(body, "")
	if err != nil {
		return nil, err
	}
	return text, k.store.Create(ctx, k.kind.kind, id, text, ttl)
}

func (k *rules) replace(ctx context.Context, id string, old, patched []byte) ([]byte, error) {
	_, text, err := k.check(patched, id)
	if err != nil {
		return nil, err
	}
	if jsonpatch.Equal(old, text) {
		return nil, errUnchanged
	}
	return text, k.store.Put(ctx, k.kind.kind, id, text)
}

func (k *rules) remove(ctx context.Context, id string) error {
	return k.store.Delete(ctx, k.kind.kind, id)
}
