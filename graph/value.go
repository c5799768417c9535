package graph

import "iter"

// Kind is the type of a Value.
type Kind uint8

// The kinds of values.
const (
	KindAbsent Kind = iota
	KindNull
	KindBool
	KindInt
	KindFloat
	KindString
	KindList
	KindObject
	KindRemoved
)

// Value is one immutable typed value.
type Value struct {
	kind Kind
	num  uint64
	str  string
}

func String(s string) Value                { return Value{kind: KindString, str: s} }
func Int(n int64) Value                    { return Value{kind: KindInt, num: uint64(n)} }
func Float(f float64) Value                { panic("skeleton") }
func Bool(b bool) Value                    { panic("skeleton") }
func Null() Value                          { return Value{kind: KindNull} }
func Removed() Value                       { return Value{kind: KindRemoved} }
func List(vs ...Value) Value               { panic("skeleton") }
func Object(m Metadata) Value              { panic("skeleton") }
func Strings(ss ...string) Value           { panic("skeleton") }
func ValueOf(v any) (Value, error)         { panic("skeleton") }
func (v Value) Kind() Kind                 { return v.kind }
func (v Value) IsZero() bool               { return v.kind == KindAbsent }
func (v Value) Str() string                { panic("skeleton") }
func (v Value) Int() int64                 { panic("skeleton") }
func (v Value) Float() float64             { panic("skeleton") }
func (v Value) Bool() bool                 { panic("skeleton") }
func (v Value) Len() int                   { panic("skeleton") }
func (v Value) All() iter.Seq[Value]       { panic("skeleton") }
func (v Value) Object() Metadata           { panic("skeleton") }
func (v Value) Any() any                   { panic("skeleton") }
func (v Value) Equal(w Value) bool         { panic("skeleton") }
func (v Value) Compare(w Value) int        { panic("skeleton") }
func (v Value) AppendJSON(b []byte) []byte { panic("skeleton") }
func (v Value) String() string             { panic("skeleton") }

type Field struct {
	Key   string
	Value Value
}

func F(key string, v Value) Field { return Field{key, v} }

type Metadata struct{ data string }

func NewMetadata(fields ...Field) Metadata           { panic("skeleton") }
func MetadataOf(m map[string]any) (Metadata, error)  { panic("skeleton") }
func (m Metadata) Len() int                          { panic("skeleton") }
func (m Metadata) Get(key string) (Value, bool)      { panic("skeleton") }
func (m Metadata) All() iter.Seq2[string, Value]     { panic("skeleton") }
func (m Metadata) Lookup(path string) (Value, bool)  { panic("skeleton") }
func (m Metadata) With(fields ...Field) Metadata     { panic("skeleton") }
func (m Metadata) Without(keys ...string) Metadata   { panic("skeleton") }
func (m Metadata) Set(path string, v Value) Metadata { panic("skeleton") }
func (m Metadata) Unset(path string) Metadata        { panic("skeleton") }
func (m Metadata) Merge(over Metadata) Metadata      { panic("skeleton") }
func (m Metadata) Equal(o Metadata) bool             { panic("skeleton") }
func (m Metadata) AppendJSON(b []byte) []byte        { panic("skeleton") }
func (m Metadata) MarshalJSON() ([]byte, error)      { panic("skeleton") }
func (m Metadata) Map() map[string]any               { panic("skeleton") }
