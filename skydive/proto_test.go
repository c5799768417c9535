package skydive

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// reference describes the envelope to google.golang.org/protobuf, whose codec is what ours is compared with.
func reference(t testing.TB) protoreflect.MessageType {
	field := func(name string, number int32, typ descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{
			Name: proto.String(name), Number: proto.Int32(number), Type: typ.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
		if typ == descriptorpb.FieldDescriptorProto_TYPE_ENUM {
			f.TypeName = proto.String(".ws.Format")
		}
		return f
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("structmessage.proto"), Package: proto.String("ws"), Syntax: proto.String("proto3"),
		EnumType: []*descriptorpb.EnumDescriptorProto{{
			Name: proto.String("Format"),
			Value: []*descriptorpb.EnumValueDescriptorProto{
				{Name: proto.String("Json"), Number: proto.Int32(0)},
				{Name: proto.String("Protobuf"), Number: proto.Int32(1)},
			},
		}},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("StructMessage"),
			Field: []*descriptorpb.FieldDescriptorProto{
				field("Namespace", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING),
				field("Type", 2, descriptorpb.FieldDescriptorProto_TYPE_STRING),
				field("UUID", 3, descriptorpb.FieldDescriptorProto_TYPE_STRING),
				field("Status", 4, descriptorpb.FieldDescriptorProto_TYPE_INT64),
				field("Format", 5, descriptorpb.FieldDescriptorProto_TYPE_ENUM),
				field("Obj", 6, descriptorpb.FieldDescriptorProto_TYPE_BYTES),
			},
		}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dynamicpb.NewMessageType(file.Messages().Get(0))
}

func referenceDecode(typ protoreflect.MessageType, data []byte) (Message, error) {
	p := typ.New()
	if err := proto.Unmarshal(data, p.Interface()); err != nil {
		return Message{}, err
	}
	fields := typ.Descriptor().Fields()
	get := func(name protoreflect.Name) protoreflect.Value { return p.Get(fields.ByName(name)) }
	return Message{
		Namespace: get("Namespace").String(), Type: get("Type").String(), UUID: get("UUID").String(),
		Status: int(get("Status").Int()), Format: Format(get("Format").Enum()), Obj: get("Obj").Bytes(),
	}, nil
}

func referenceEncode(t testing.TB, typ protoreflect.MessageType, m *Message) []byte {
	p := typ.New()
	fields := typ.Descriptor().Fields()
	set := func(name protoreflect.Name, v protoreflect.Value) { p.Set(fields.ByName(name), v) }
	set("Namespace", protoreflect.ValueOfString(m.Namespace))
	set("Type", protoreflect.ValueOfString(m.Type))
	set("UUID", protoreflect.ValueOfString(m.UUID))
	set("Status", protoreflect.ValueOfInt64(int64(m.Status)))
	set("Format", protoreflect.ValueOfEnum(protoreflect.EnumNumber(m.Format)))
	set("Obj", protoreflect.ValueOfBytes(m.Obj))
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(p.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sameMessage(a, b *Message) bool {
	return a.Namespace == b.Namespace && a.Type == b.Type && a.UUID == b.UUID && a.Status == b.Status &&
		a.Format == b.Format && bytes.Equal(a.Obj, b.Obj)
}

func TestProtobufEqualsTheReference(t *testing.T) {
	typ := reference(t)
	messages := []*Message{
		{},
		{Status: -1},
		{Status: StatusOK, Format: -7},
		{Namespace: NamespaceFlow, Type: MsgFlowStore, UUID: "é", Status: 1 << 40, Format: FormatProtobuf, Obj: RawJSON("\x00\xff")},
	}
	for name, text := range corpus(t) {
		if strings.HasPrefix(name, "exact/Message/") {
			m, err := DecodeMessage(text, ProtocolJSON)
			if err != nil {
				t.Fatal(err)
			}
			messages = append(messages, m)
		}
	}
	for _, m := range messages {
		want := referenceEncode(t, typ, m)
		got := m.AppendProto(nil)
		if !bytes.Equal(got, want) {
			t.Errorf("%+v\ngot  %x\nwant %x", m, got, want)
		}
		if back, err := DecodeMessage(got, ProtocolProtobuf); err != nil || !sameMessage(back, m) {
			t.Errorf("%+v came back as %+v, %v", m, back, err)
		}
	}
}

// The bytes that a program in another language has to make.
func TestProtobufBytes(t *testing.T) {
	m := &Message{Namespace: "Graph", Type: "SyncRequest", UUID: "u", Status: 200, Obj: RawJSON("{}")}
	const want = "0a054772617068" + "120b53796e6352657175657374" + "1a0175" + "20c801" + "32027b7d"
	if got := hex.EncodeToString(m.AppendProto(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestBrokenProtobufIsRefusedWithItsPlace(t *testing.T) {
	for data, want := range map[string]string{
		"0a05477261":               "byte 0: unexpected EOF",
		"20c801" + "32ff":          "byte 3: unexpected EOF",
		"0a01ff":                   "byte 0: invalid UTF-8",
		"00":                       "byte 0: proto: invalid field number",
		"20ffffffffffffffffffffff": "byte 0: proto: variable length integer overflow",
		"0c":                       "byte 0: end of a group that was not begun",
		"0f":                       "byte 0: proto: cannot parse reserved wire type",
		"0a0147" + "2a":            "byte 3: unexpected EOF",
	} {
		raw, err := hex.DecodeString(data)
		if err != nil {
			t.Fatal(err)
		}
		_, err = DecodeMessage(raw, ProtocolProtobuf)
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "\u00a0", " "), want) {
			t.Errorf("%s: got %v, want …%s…", data, err, want)
		}
	}
}

// Whatever the reference reads, we read as the same; whatever it refuses, we refuse.
func FuzzMessageProto(f *testing.F) {
	typ := reference(f)
	for name, text := range corpus(f) {
		if strings.HasPrefix(name, "exact/Message/") {
			m, err := DecodeMessage(text, ProtocolJSON)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(m.AppendProto(nil))
		}
	}
	for _, seed := range []string{"0801", "0a0147" + "0a0148", "4a0101", "0b0c", "20ffffffffffffffff7f", "28ffffffff0f", "0b13140c", "32021300", "25000000003d00"} {
		data, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, wantErr := referenceDecode(typ, data)
		got, err := DecodeMessage(data, ProtocolProtobuf)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%x: got %v, the reference %v", data, err, wantErr)
		}
		if err == nil && !sameMessage(got, &want) {
			t.Fatalf("%x\ngot  %+v\nwant %+v", data, got, want)
		}
	})
}
