package registry;

import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.SpringApplication;
import org.springframework.cloud.netflix.eureka.server.EnableEurekaServer;

/** Spring Cloud's Eureka server, configured by server.properties. */
@EnableAutoConfiguration
@EnableEurekaServer
public class Server {
    public static void main(String[] args) {
        Parent.watch();
        System.setProperty("spring.config.name", "server");
        SpringApplication.run(Server.class, args);
    }
}
