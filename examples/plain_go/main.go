// Shares memory through shmd with nothing but generated stubs, a Unix socket
// and mmap:
//
//	plain_go write TEXT     makes a segment, writes TEXT, prints its handle
//	plain_go read HANDLE    prints what the segment holds
//
// The folder of the sockets is $SHMD_SOCKET_DIR.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	pb "shmd.dev/shmd/v1"
)

func check[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// create makes a memfd segment by RPC and returns its handle as text.
func create(sizeBytes int) string {
	channel := check(grpc.Dial("unix:"+os.Getenv("SHMD_SOCKET_DIR")+"/grpc.sock",
		grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer channel.Close()
	return check(pb.NewSegmentServiceClient(channel).CreateSegment(context.Background(), &pb.CreateSegmentRequest{
		Parent:  "namespaces/default",
		Segment: &pb.Segment{SizeBytes: uint64(sizeBytes)},
	})).HandleString
}

// attach redeems a handle: it returns the open connection, which is what keeps
// the segment attached, and a mapping of the whole segment.
func attach(handle string, access pb.Access, protection int) (*net.UnixConn, []byte) {
	connection := check(net.DialUnix("unixpacket", nil,
		&net.UnixAddr{Name: os.Getenv("SHMD_SOCKET_DIR") + "/attach.sock", Net: "unixpacket"}))
	check(connection.Write(check(proto.Marshal(&pb.AttachRequest{
		Sequence: 1,
		Action: &pb.AttachRequest_Attach{Attach: &pb.Attach{
			Reference: &pb.Attach_HandleString{HandleString: handle}, Access: access}},
	}))))
	data, rights := make([]byte, 65536), make([]byte, syscall.CmsgSpace(4))
	n, m, _, _, err := connection.ReadMsgUnix(data, rights)
	check(n, err)
	var reply pb.AttachReply
	check(0, proto.Unmarshal(data[:n], &reply))
	if reply.Error != nil {
		log.Fatal(reply.Error.Message)
	}
	descriptor := check(syscall.ParseUnixRights(&check(syscall.ParseSocketControlMessage(rights[:m]))[0]))[0]
	defer syscall.Close(descriptor) // the mapping stays
	size := int(reply.Attachment.SizeBytes)
	return connection, check(syscall.Mmap(descriptor, 0, size, protection, syscall.MAP_SHARED))
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: plain_go write TEXT | plain_go read HANDLE")
	} else if os.Args[1] == "write" {
		handle := create(len(os.Args[2]))
		connection, memory := attach(handle, pb.Access_READ_WRITE, syscall.PROT_READ|syscall.PROT_WRITE)
		defer connection.Close()
		copy(memory, os.Args[2])
		fmt.Println(handle)
	} else {
		connection, memory := attach(os.Args[2], pb.Access_READ, syscall.PROT_READ)
		defer connection.Close()
		fmt.Println(string(memory))
	}
}
