package graph

import (
	"iter"
	"strings"
)

// Element is a node or an edge as one view saw it: a cheap value that never changes and is valid for ever.
type Element struct {
	e  *element
	v  *version
	hi Moment // the moment of the view
}

// Node is a node as one view saw it.
type Node struct{ Element }

// Edge is an edge as one view saw it.
type Edge struct{ Element }

// Layer is what one origin says of an element.
type Layer struct {
	Origin   string
	Rank     Rank
	Metadata Metadata
}

// IsZero tells whether this is no element.
func (e Element) IsZero() bool { return e.e == nil }

// ID is the element's id.
func (e Element) ID() string {
	if e.e == nil {
		return ""
	}
	return e.e.id
}

// Host is the host that the owner shows.
func (e Element) Host() string {
	if e.e == nil {
		return ""
	}
	return e.v.place.host
}

// Origin is Skydive's Origin field: what the owner shows, or else the owner's name.
func (e Element) Origin() string {
	if e.e == nil {
		return ""
	}
	return e.v.place.origin
}

// Owner is the origin that created the element, as batches name it.
func (e Element) Owner() string {
	if e.e == nil {
		return ""
	}
	return e.e.owner.name
}

// CreatedAt is the owner's time of creation, in milliseconds.
func (e Element) CreatedAt() int64 {
	if e.e == nil {
		return 0
	}
	return e.v.created
}

// UpdatedAt is the time of the last change, samples included, in milliseconds.
func (e Element) UpdatedAt() int64 {
	if e.e == nil {
		return 0
	}
	updated, _ := e.e.shown(e.v, e.asOf())
	return updated
}

// DeletedAt is the time of deletion in milliseconds, 0 for what lived at the moment of the view.
func (e Element) DeletedAt() int64 {
	if e.e == nil || Moment(e.v.to.Load()) > e.hi {
		return 0
	}
	return e.v.deleted
}

// Revision counts the changes, samples included.
func (e Element) Revision() int64 {
	if e.e == nil {
		return 0
	}
	_, revision := e.e.shown(e.v, e.asOf())
	return revision
}

// From is the moment since which this version is valid.
func (e Element) From() Moment {
	if e.e == nil {
		return 0
	}
	return e.v.from
}

// To is the moment at which this version ended, 0 when it was valid at the moment of the view.
func (e Element) To() Moment {
	if e.e == nil {
		return 0
	}
	if to := Moment(e.v.to.Load()); to <= e.hi {
		return to
	}
	return 0
}

// shown is the update time and the revision of a version as of a moment: samples move both without a version.
func (e *element) shown(v *version, hi Moment) (updated, revision int64) {
	updated, revision = v.updated, v.revision
	list := e.samples.Load()
	if list == nil {
		return updated, revision
	}
	for _, s := range *list {
		if rec, _ := s.at(hi); rec != nil && Moment(rec[0]) >= v.from && rec[4] > revision {
			updated, revision = rec[3], rec[4]
		}
	}
	return updated, revision
}

// Metadata is what all layers say together, with the counters as of the moment of the view.
func (e Element) Metadata() Metadata {
	if e.e == nil {
		return Metadata{}
	}
	m := e.v.meta
	for s := range e.samplesNow() {
		m = m.set(s.prefix, s.counters(s.rec).object())
		if s.prior != nil {
			m = m.set(s.last, s.difference(s.rec, s.prior).object())
		}
	}
	return m
}

// asOf is the moment as of which samples count: that of the view, or the last one before the element ended.
func (e Element) asOf() Moment { return min(e.hi, Moment(e.v.to.Load())-1) }

// sampleNow is a series with its newest record, and the one before it if that is known.
type sampleNow struct {
	*series
	rec, prior []int64
}

// samplesNow gives each series as of the view.
func (e Element) samplesNow() iter.Seq[sampleNow] {
	return func(yield func(sampleNow) bool) {
		list := e.e.samples.Load()
		if list == nil {
			return
		}
		hi := e.asOf()
		for _, s := range *list {
			for s != nil {
				if rec, prior := s.at(hi); rec != nil {
					if !yield(sampleNow{s, rec, prior}) {
						return
					}
					break
				}
				s = s.before.Load()
			}
		}
	}
}

// Field is the value of one field: "@ID", "@Host", "@Origin", "@CreatedAt", "@UpdatedAt", "@DeletedAt", "@Revision",
// of an edge "@Parent" and "@Child", or a metadata path with or without "Metadata." in front.
func (e Element) Field(path string) (Value, bool) {
	if e.e == nil {
		return Value{}, false
	}
	if strings.HasPrefix(path, "@") {
		return e.ownField(path)
	}
	path = strings.TrimPrefix(path, "Metadata.")
	if list := e.e.samples.Load(); list != nil {
		for _, s := range *list {
			if pathsMeet(s.prefix, path) || pathsMeet(s.last, path) {
				return e.sampledField(path)
			}
		}
	}
	return e.v.meta.Lookup(path)
}

func (e Element) ownField(path string) (Value, bool) {
	switch path {
	case "@ID":
		return String(e.e.id), true
	case "@Host":
		return String(e.v.place.host), true
	case "@Origin":
		return String(e.v.place.origin), true
	case "@CreatedAt":
		return Int(e.v.created), true
	case "@UpdatedAt":
		return Int(e.UpdatedAt()), true
	case "@DeletedAt":
		return Int(e.DeletedAt()), true
	case "@Revision":
		return Int(e.Revision()), true
	}
	if e.e.edge {
		switch path {
		case "@Parent":
			return String(e.e.asEdge().parent.id), true
		case "@Child":
			return String(e.e.asEdge().child.id), true
		}
	}
	return Value{}, false
}

// sampledField takes one counter from its series; anything wider goes through the whole metadata.
func (e Element) sampledField(path string) (Value, bool) {
	for s := range e.samplesNow() {
		if name, ok := strings.CutPrefix(path, s.prefix+"."); ok {
			return s.counters(s.rec).value(name)
		}
		if name, ok := strings.CutPrefix(path, s.last+"."); ok && s.prior != nil {
			return s.difference(s.rec, s.prior).value(name)
		}
	}
	return e.Metadata().Lookup(path)
}

// Layers gives the layers, lowest first, without counters.
func (e Element) Layers() iter.Seq[Layer] {
	return func(yield func(Layer) bool) {
		switch {
		case e.e == nil:
		case e.v.layers == nil:
			yield(Layer{e.e.owner.name, RankOwner, e.v.meta})
		default:
			for _, l := range *e.v.layers {
				if !yield(Layer{l.origin.name, l.rank, l.meta}) {
					return
				}
			}
		}
	}
}

// Samples gives the samples under a prefix that were committed in [from,to], and not after the view, oldest first.
func (e Element) Samples(prefix string, from, to Moment) iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		if e.e == nil {
			return
		}
		if s := e.e.seriesOf(prefix); s != nil {
			s.all(from, min(to, e.asOf()))(yield)
		}
	}
}

// SamplePrefixes gives the prefixes under which the element has samples.
func (e Element) SamplePrefixes() iter.Seq[string] {
	return func(yield func(string) bool) {
		if e.e == nil {
			return
		}
		for s := range e.samplesNow() {
			if !yield(s.prefix) {
				return
			}
		}
	}
}

// Parent is the id of the node that the edge comes from.
func (e Edge) Parent() string {
	if e.e == nil {
		return ""
	}
	return e.e.asEdge().parent.id
}

// Child is the id of the node that the edge goes to.
func (e Edge) Child() string {
	if e.e == nil {
		return ""
	}
	return e.e.asEdge().child.id
}
