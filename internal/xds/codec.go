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
	// wire is a message as it came, until it is opened; request is what was in it,
	// until it is done.
	wire    mem.BufferSlice
	request request
	// spare is the room for one small message after the other; large is that of the
	// present message if it is large.
	spare, large []byte
	rooms        rooms
}

// frameSpare is how large a message may be for which a stream keeps room. An
// acknowledgement is smaller.
const frameSpare = 4 << 10

func newFrame(r rooms) *frame {
	f := &frame{Message: new(emptypb.Empty).ProtoReflect(), rooms: r}
	f.methods.Unmarshal = func(in protoiface.UnmarshalInput) (protoiface.UnmarshalOutput, error) {
		f.wire = mem.BufferSlice{mem.Copy(in.Buf, mem.DefaultBufferPool())} // gRPC uses its buffer again.
		return protoiface.UnmarshalOutput{Flags: protoiface.UnmarshalInitialized}, nil
	}
	return f
}

// ProtoReflect and ProtoMethods make the frame a message.
func (f *frame) ProtoReflect() protoreflect.Message { return f }

// ProtoMethods lead to the fast path.
func (f *frame) ProtoMethods() *protoiface.Methods { return &f.methods }

// open reads the message.
func (f *frame) open() (err error) {
	n := f.wire.Len()
	var raw []byte
	if n <= frameSpare {
		if n > cap(f.spare) {
			f.spare = make([]byte, max(n, 128))
		}
		raw = f.spare[:n]
	} else {
		f.large = f.rooms.take(n)
		raw = f.large
	}
	f.wire.CopyTo(raw)
	f.drop()
	f.request, err = parse(raw)
	return err
}

// drop lets go of what came.
func (f *frame) drop() {
	f.wire.Free()
	f.wire = nil
}

// done lets go of the message.
func (f *frame) done() {
	f.request = request{}
	if f.large != nil {
		f.rooms.give(f.large)
		f.large = nil
	}
}

// rooms are where large messages are read, by a few streams at a time: when all
// proxies connect at once, each says what it holds of thousands of names, and
// most would wait with it for the hub.
type rooms chan []byte

// roomSpare is how large a message may be whose room is used again. What a proxy
// says that holds some thousand names is smaller.
const roomSpare = 1 << 20

func newRooms(n int) rooms {
	r := make(rooms, n)
	for range n {
		r <- nil
	}
	return r
}

// take waits for room for n bytes.
func (r rooms) take(n int) []byte {
	room := <-r
	if n > cap(room) {
		return make([]byte, n)
	}
	return room[:n]
}

func (r rooms) give(room []byte) {
	if cap(room) > roomSpare {
		room = nil
	}
	r <- room
}

// Codec is the protobuf codec of a gRPC server, for grpc.ForceServerCodecV2. It
// reads what proxies send without collecting it in one piece first, for which
// gRPC would take a MiB for each of the proxies that connect at once. A server
// without it serves the same.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

type codec struct{ encoding.CodecV2 }

// Unmarshal keeps a message until it is opened.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	data.Ref()
	f.wire = data
	return nil
}
