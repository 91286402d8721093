// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	echoService = "meshwright.echo.v1.Echo"
	tellMethod  = "/" + echoService + "/Tell"
	frameHead   = 5
	trailerFlag = 0x80
)

func isGRPC(r *http.Request) bool {
	kind := r.Header.Get("Content-Type")
	return r.ProtoMajor == 2 && (kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+"))
}

type teller interface {
	tellCall(context.Context) (*structpb.Struct, error)
}

// newGRPC serves one method, which answers with what arrived. Its messages are
// structs of any fields, so that no code has to be generated for them.
func newGRPC(h *handler) *grpc.Server {
	srv := grpc.NewServer()
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: echoService, HandlerType: (*teller)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Tell", Handler: tellHandler}},
	}, h)
	return srv
}

//nolint:revive // The order of the parameters is gRPC's.
func tellHandler(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := decode(new(structpb.Struct)); err != nil {
		return nil, err
	}
	return srv.(teller).tellCall(ctx)
}

func (h *handler) tellCall(ctx context.Context) (*structpb.Struct, error) {
	told := answer{Host: h.host, Version: h.version, Proto: "gRPC", Method: http.MethodPost, Path: tellMethod}
	headers, _ := metadata.FromIncomingContext(ctx)
	told.Headers = headers
	if asked := headers.Get(":authority"); len(asked) > 0 {
		told.Asked = asked[0]
	}
	if p, ok := peer.FromContext(ctx); ok {
		told.Remote = p.Addr.String()
	}
	text, err := json.Marshal(told)
	if err != nil {
		return nil, fmt.Errorf("describe the call: %w", err)
	}
	out := new(structpb.Struct)
	if err := out.UnmarshalJSON(text); err != nil {
		return nil, fmt.Errorf("describe the call: %w", err)
	}
	return out, nil
}

// grpcSender calls the method on one connection. The code is that of HTTP for an
// answer, and 1000 more than that of gRPC for another status.
func grpcSender(u *url.URL, headers http.Header) (sendFunc, error) {
	conn, err := grpc.NewClient("passthrough:///"+u.Host, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		return nil, fmt.Errorf("prepare the gRPC client: %w", err)
	}
	return func(ctx context.Context) (response, error) {
		for name, values := range headers {
			for _, v := range values {
				ctx = metadata.AppendToOutgoingContext(ctx, name, v)
			}
		}
		out, trailer := new(structpb.Struct), metadata.MD{}
		err := conn.Invoke(ctx, tellMethod, new(structpb.Struct), out, grpc.Trailer(&trailer))
		if err != nil {
			s := status.Convert(err)
			return response{code: 1000 + int(s.Code()), body: []byte(s.Message())}, nil
		}
		body, err := out.MarshalJSON()
		return response{code: http.StatusOK, body: body}, err
	}, nil
}

// sendGRPCWeb calls the method as a browser does: by HTTP/1.1, with the trailers
// as a last frame of the body.
func sendGRPCWeb(ctx context.Context, client *http.Client, u *url.URL, headers http.Header) (response, error) {
	target := url.URL{Scheme: "http", Host: u.Host, Path: tellMethod}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(make([]byte, frameHead)))
	if err != nil {
		return response{}, err
	}
	req.Header = headers.Clone()
	req.Header.Set("Content-Type", "application/grpc-web+proto")
	req.Header.Set("X-Grpc-Web", "1")
	resp, err := client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return response{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return response{code: resp.StatusCode, header: resp.Header, body: body}, nil
	}
	return readGRPCWeb(resp.Header, body)
}

func readGRPCWeb(header http.Header, body []byte) (response, error) {
	out, trailers := new(structpb.Struct), ""
	for len(body) >= frameHead {
		flag, length := body[0], int(binary.BigEndian.Uint32(body[1:]))
		if len(body) < frameHead+length {
			break
		}
		frame := body[frameHead : frameHead+length]
		body = body[frameHead+length:]
		if flag&trailerFlag != 0 {
			trailers = string(frame)
		} else if err := proto.Unmarshal(frame, out); err != nil {
			return response{}, fmt.Errorf("decode the answer: %w", err)
		}
	}
	if !strings.Contains(strings.ReplaceAll(trailers, " ", ""), "grpc-status:0") {
		return response{}, fmt.Errorf("the answer of %q has the trailers %q, want grpc-status 0 among them", header.Get("Content-Type"), trailers)
	}
	text, err := out.MarshalJSON()
	return response{code: http.StatusOK, header: header, body: text}, err
}
