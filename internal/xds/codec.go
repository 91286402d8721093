// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // The codec that Codec leads to.
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"
	"google.golang.org/protobuf/types/known/emptypb"
)

// frame is what gRPC reads the messages of a stream into. To a server without
// Codec it is a protobuf message with a fast path of its own.
type frame struct {
	protoreflect.Message // empty

	methods protoiface.Methods
	// spare is the room for one small message after the other.
	spare   []byte
	request request
	err     error
}

// frameSpare is how large a message may be for which room is kept. An
// acknowledgement is smaller.
const frameSpare = 4 << 10

func newFrame() *frame {
	f := &frame{Message: new(emptypb.Empty).ProtoReflect()}
	f.methods.Unmarshal = func(in protoiface.UnmarshalInput) (protoiface.UnmarshalOutput, error) {
		raw := f.room(len(in.Buf))
		copy(raw, in.Buf) // gRPC uses its buffer again.
		f.request, f.err = parse(raw)
		return protoiface.UnmarshalOutput{Flags: protoiface.UnmarshalInitialized}, nil
	}
	return f
}

// ProtoReflect and ProtoMethods make the frame a message.
func (f *frame) ProtoReflect() protoreflect.Message { return f }

// ProtoMethods lead to the fast path.
func (f *frame) ProtoMethods() *protoiface.Methods { return &f.methods }

// room is where a message of n bytes goes.
func (f *frame) room(n int) []byte {
	if n > frameSpare {
		return make([]byte, n)
	}
	if f.spare == nil || n > cap(f.spare) {
		f.spare = make([]byte, max(n, 128))
	}
	return f.spare[:n]
}

// Codec is the protobuf codec of a gRPC server, for grpc.ForceServerCodecV2. It
// reads what proxies send without collecting it in one piece first, for which
// gRPC would take a MiB for each of the proxies that connect at once. A server
// without it serves the same.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

type codec struct{ encoding.CodecV2 }

// Unmarshal reads a message.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	raw := f.room(data.Len())
	data.CopyTo(raw)
	f.request, f.err = parse(raw)
	return nil
}
