package graph

import "iter"

type Element struct{ id string }
type Node struct{ Element }
type Edge struct{ Element }

type Layer struct {
	Origin   string
	Rank     Rank
	Metadata Metadata
}

// Sample is one sample of an element's counters.
type Sample struct {
	Moment     Moment
	Counters   Counters // cumulative
	LastUpdate Counters // the difference to the sample before; nil Values in the first
}

func (e Element) ID() string                                              { panic("skeleton") }
func (e Element) Host() string                                            { panic("skeleton") }
func (e Element) Origin() string                                          { panic("skeleton") }
func (e Element) CreatedAt() int64                                        { panic("skeleton") }
func (e Element) UpdatedAt() int64                                        { panic("skeleton") }
func (e Element) DeletedAt() int64                                        { panic("skeleton") }
func (e Element) Revision() int64                                         { panic("skeleton") }
func (e Element) Metadata() Metadata                                      { panic("skeleton") }
func (e Element) Field(path string) (Value, bool)                         { panic("skeleton") }
func (e Element) Layers() iter.Seq[Layer]                                 { panic("skeleton") }
func (e Element) Owner() string                                           { panic("skeleton") }
func (e Element) From() Moment                                            { panic("skeleton") }
func (e Element) To() Moment                                              { panic("skeleton") }
func (e Element) IsZero() bool                                            { panic("skeleton") }
func (e Element) Samples(prefix string, from, to Moment) iter.Seq[Sample] { panic("skeleton") }
func (n Node) AppendJSON(dst []byte) []byte                               { panic("skeleton") }
func (n Node) MarshalJSON() ([]byte, error)                               { panic("skeleton") }
func (e Edge) Parent() string                                             { panic("skeleton") }
func (e Edge) Child() string                                              { panic("skeleton") }
func (e Edge) AppendJSON(dst []byte) []byte                               { panic("skeleton") }
func (e Edge) MarshalJSON() ([]byte, error)                               { panic("skeleton") }
